// Command schema checks that a file is what others take: a Grafana dashboard (a file that ends in .json), or an object of the Prometheus
// operator. Every member has to be one of their own types.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schema FILE")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "error: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func check(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.HasSuffix(file, ".json") {
		return checkDashboard(text)
	}
	var about struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(text, &about); err != nil {
		return err
	}
	switch about.Kind {
	case monitoring.ServiceMonitorsKind:
		return yaml.UnmarshalStrict(text, &monitoring.ServiceMonitor{})
	case monitoring.PrometheusRuleKind:
		return yaml.UnmarshalStrict(text, &monitoring.PrometheusRule{})
	}
	return fmt.Errorf("kind %q is not checked", about.Kind)
}

func checkDashboard(text []byte) error {
	// The kinds of panels and queries.
	plugins.RegisterDefaultPlugins()
	var parsed dashboard.Dashboard
	if err := parsed.UnmarshalJSONStrict(text); !isNone(err) {
		return err
	}
	if err := parsed.Validate(); !isNone(err) {
		return err
	}
	return nil
}

// The schema's own code gives an empty list of errors for none.
func isNone(err error) bool {
	var found cog.BuildErrors
	return err == nil || errors.As(err, &found) && len(found) == 0
}
