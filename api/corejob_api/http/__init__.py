"""HTTP: requests, arguments, answers, errors, routing."""
