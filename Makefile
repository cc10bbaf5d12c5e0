# The front door. CMake is the build system; this only names the things one does with it.
# Every target does its own set-up: scripts/deps.sh installs what is missing (as root) or names it.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format fuzz fuzz-all bench bench-ice bench-turn lab interop matrix portability soak build install clean
PREFIX ?= /usr/local
S ?= 60
export PREFIX DESTDIR S T F

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

demo: ## two machines behind NATs find each other: builds, runs the lab, prints a table
	@scripts/demo.sh

test: ## configure, build with ASan and UBSan, run every test (CC=gcc or CC=clang to choose)
	@scripts/test.sh dev

lint: ## clang-format, clang-tidy, cppcheck and the house's own rules
	@scripts/lint.sh

format: ## clang-format every C file in place; the tables of citations
	@scripts/format.sh

fuzz: ## one fuzz harness: make fuzz T=stun S=60
	@scripts/fuzz.sh $(T)

fuzz-all: ## every fuzz harness, S seconds each, as many at a time as there are cores
	@scripts/fuzz.sh

bench: ## the benchmarks and their tables
	@scripts/bench.sh

bench-ice: ## how fast ICE connects, beside libnice and aioice; RUNS=200 for all the quantiles
	@scripts/bench.sh ice_idle ice_data ice ice_heal

bench-turn: ## what TURN costs, beside coturn, in three namespaces; QUICK=1 for two minutes
	@scripts/bench.sh turn

lab: ## run a topology file: make lab F=lab/two-homes.lab
	@scripts/lab.sh $(F)

interop: ## against coturn, the Go relay, other ICE agents and a browser; prints tables
	@scripts/interop.sh

matrix: ## every pair of NAT types simulated, and the NAT model against real Linux NATs; minutes
	@scripts/matrix.sh

portability: ## the core's tests for 32 bits (i386) and big-endian (s390x), under qemu; minutes
	@scripts/portability.sh

soak: ## S seconds of a server under load and abuse, and random simulated runs
	@scripts/soak.sh

build: ## optimised build in build/release
	@scripts/build.sh

install: ## install under PREFIX (/usr/local), staged below DESTDIR
	@scripts/build.sh install

clean: ## remove build/
	rm -rf build
