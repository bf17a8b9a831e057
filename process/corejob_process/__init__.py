"""What every process of the service needs, apart from Kubernetes."""
