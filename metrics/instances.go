package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Parent is how many instances have the same parent of their key.
type Parent struct {
	Name string
	Up   int
}

// WriteInstances answers with how many instances are registered, and whether etcd can be
// asked.
func WriteInstances(w http.ResponseWriter, etcdUp bool, parents []Parent) {
	registry := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "dockreg_web_etcd_up", Help: "1 while etcd can be asked."})
	up.Set(of(etcdUp))
	all := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dockreg_instances", Help: "Instances that are registered, by the parent of their key."}, []string{"parent"})
	for _, p := range parents {
		all.WithLabelValues(p.Name).Set(float64(p.Up))
	}
	registry.MustRegister(up, all)
	write(w, registry)
}
