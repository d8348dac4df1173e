//go:build tools

// Package tools names the programs that are built here, so that go.mod and go.sum cover all they need.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
