module core4.io/tests/cluster/podlogs

go 1.26.0
