module example.com/primes

go 1.26.0
