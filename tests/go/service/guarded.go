package main

import (
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

// A second listener, with what services are guarded by: TLS, client certificates, passwords,
// tokens, sockets. It answers in gzip if the client takes it.
var (
	guardedSocket = flag.String("guarded-socket", "", "also listen on this Unix socket")
	guardedCert   = flag.String("guarded-cert", "", "also listen with TLS, with this certificate")
	guardedKey    = flag.String("guarded-key", "", "its key")
	guardedCA     = flag.String("guarded-ca", "", "ask for a client certificate of this authority")
	guardedTLS12  = flag.Bool("guarded-tls12", false, "at most TLS 1.2")
	guardedAuth   = flag.String("guarded-auth", "", "the `value` of the header Authorization that is needed")
)

func guarded() {
	switch {
	case *guardedSocket != "":
		listener, err := net.Listen("unix", *guardedSocket)
		must(err)
		serveGuarded(listener)
	case *guardedCert != "":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		serveGuarded(tls.NewListener(listener, tlsConfig()))
	case *guardedAuth != "":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		serveGuarded(listener)
	}
}

func tlsConfig() *tls.Config {
	certificate, err := tls.LoadX509KeyPair(*guardedCert, *guardedKey)
	must(err)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if *guardedTLS12 {
		config.MaxVersion = tls.VersionTLS12
	}
	if *guardedCA != "" {
		pem, err := os.ReadFile(*guardedCA)
		must(err)
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(pem)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

func serveGuarded(listener net.Listener) {
	say([]byte("guarded " + listener.Addr().String() + "\n"))
	server := &http.Server{Handler: http.HandlerFunc(guard), ErrorLog: log.New(silent{}, "", 0)}
	go func() { log.Fatal(server.Serve(listener)) }()
}

func guard(w http.ResponseWriter, r *http.Request) {
	if *guardedAuth != "" && r.Header.Get("Authorization") != *guardedAuth {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		http.DefaultServeMux.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	packed := gzip.NewWriter(w)
	defer packed.Close()
	http.DefaultServeMux.ServeHTTP(gzipped{w, packed}, r)
}

type gzipped struct {
	http.ResponseWriter
	packed *gzip.Writer
}

func (g gzipped) Write(text []byte) (int, error) { return g.packed.Write(text) }

type silent struct{}

func (silent) Write(text []byte) (int, error) { return len(text), nil }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}
