// Package e2e tests dockreg as its users run it: the built image under a real
// Docker engine, with real supervisord and etcd, and the built binary as a
// process. Its module is its own, so that an etcd server and the linters stay out
// of the product's.
package e2e
