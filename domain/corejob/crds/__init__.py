"""The CustomResourceDefinitions; `make generate` writes them to `crds/` and into the chart."""
