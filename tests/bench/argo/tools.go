//go:build tools

// Package tools names the programs of Argo Workflows that the benchmark builds, for go mod tidy.
package tools

import (
	_ "github.com/argoproj/argo-workflows/v3/cmd/workflow-controller"
)
