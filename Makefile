# multitenant: build, install, test.  `make help` lists the targets.
#
# Two kinds of targets: those of PGXS (all, install, uninstall, clean), which need PostgreSQL's server headers when the
# Makefile is read, and those of this project (check, demo, lint, ...), which do not: they install what is missing
# first and start another make.

.DEFAULT_GOAL := all

EXTENSION = multitenant
MODULE_big = multitenant

# The one version number is the control file's.
MT_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" multitenant.control)
INSTALL_SCRIPT_FILE = $(EXTENSION)--$(MT_VERSION).sql

# The install script is these files of sql/, in this order.
SQL_FILES = \
	schema.sql \
	registry.sql \
	access.sql \
	keys.sql \
	master_keys.sql \
	audit.sql \
	context.sql \
	lifecycle.sql \
	people.sql \
	break_glass.sql \
	roles.sql \
	msp.sql \
	role_management.sql \
	assignments.sql \
	membership.sql \
	groups.sql \
	permission_checks.sql \
	access_review.sql \
	operators.sql \
	supervision.sql \
	break_glass_functions.sql \
	encryption.sql \
	key_rotation.sql \
	reencryption.sql \
	secrets.sql \
	purpose_rules.sql \
	shred.sql \
	key_transfer.sql \
	label.sql \
	table.sql \
	protect.sql \
	keys_fk.sql \
	adopt.sql \
	repair.sql \
	unprotect.sql \
	encrypted_columns.sql \
	column_conversion.sql \
	lint.sql \
	lint_catalog.sql \
	lint_server.sql \
	lint_roles.sql \
	lint_tables.sql \
	lint_policies.sql \
	lint_keys.sql \
	lint_code.sql \
	lint_encryption.sql \
	lint_people.sql \
	lint_report.sql \
	new_tables.sql \
	observe.sql \
	partitioning.sql \
	isolation.sql \
	status.sql \
	explain_access.sql \
	test_isolation.sql \
	removal.sql \
	grants.sql

C_FILES := $(sort $(wildcard src/*.c src/*/*.c))
H_FILES := $(sort $(wildcard src/*.h src/*/*.h))
OBJS = $(C_FILES:.c=.o)

# Tests that hold only where the server preloads the library say so in a line "-- requires: preload" (test/sql) or
# "# requires: preload" (test/specs); installcheck skips them elsewhere.
tests_in = $(sort $(basename $(notdir $(wildcard $(1)))))
tests_requiring_preload = $(sort $(basename $(notdir $(shell grep -l '^[-\#]* requires: preload' $(wildcard $(1)) /dev/null))))

# A throw-away server for check and demo is made by this script alone.
THROWAWAY = test/tools/throwaway
SUITES = crypto regress isolation pgtap tap attacks clients

# Targets for which PGXS is not read.
OWN_GOALS = help check check-mutants check-bare check-matrix check-matrix-short check-core check-core-short check-assert check-assert-short check-valgrind check-valgrind-short check-sanitizers check-sanitizers-short check-plants check-fuzz check-fuzz-short check-differential check-differential-short differential-plants attack-matrix coverage fuzz fuzz-short fuzz-mutants demo bench bench-short bench-crypto bench-crypto-short bench-hooks bench-hooks-count bench-permissions bench-permissions-short lint format dist installcheck requirements $(SUITES:%=check-%) print-SQL_FILES

# ---- PostgreSQL: PG_CONFIG if given, else the first pg_config that has the server's headers (PATH, then the newest) --
ifeq ($(origin PG_CONFIG),undefined)
PG_CONFIG := $(shell test/tools/find-pg-config)
endif
PG_MAJOR := $(if $(PG_CONFIG),$(shell "$(PG_CONFIG)" --version 2>/dev/null | sed 's/^PostgreSQL \([0-9]*\).*/\1/'))

needs_pgxs := $(filter-out $(OWN_GOALS),$(or $(MAKECMDGOALS),all))

ifneq ($(needs_pgxs),)
ifeq ($(PG_MAJOR),)
ifneq ($(filter-out clean distclean,$(needs_pgxs)),)
$(error $(if $(PG_CONFIG),"$(PG_CONFIG)" does not run,no pg_config of a PostgreSQL with server headers found): install postgresql-server-dev-NN (Debian) or postgresqlNN-devel (RPM), or say make PG_CONFIG=/path/to/pg_config)
endif
clean distclean:
	rm -f $(OBJS) $(EXTRA_CLEAN) $(MODULE_big).so
else ifneq ($(shell test "$(PG_MAJOR)" -ge 15 && echo yes),yes)
$(error multitenant needs PostgreSQL 15 or later; $(PG_CONFIG) is of version $(PG_MAJOR). Choose another with make PG_CONFIG=/path/to/pg_config)
endif
endif

# ---- build ----------------------------------------------------------------------------------------------------------
DATA = $(wildcard sql/upgrade/$(EXTENSION)--*--*.sql)
DATA_built = $(INSTALL_SCRIPT_FILE)
EXTRA_CLEAN = exports.map $(EXTENSION)--*.sql $(EXTENSION)-*.zip tmp_check

PG_CPPFLAGS = -Isrc -DMT_VERSION='"$(MT_VERSION)"'
PG_CFLAGS = -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -fstack-protector-strong $(WERROR)
SHLIB_LINK = -lcrypto

# Master keys from an HSM need the header of PKCS#11 in p11-kit's edition; without it that provider says so.
PG_CPPFLAGS += $(addprefix -isystem ,$(firstword $(wildcard /usr/include/p11-kit-1 /usr/local/include/p11-kit-1)))

# Bitcode for JIT inlining is not worth the need for clang: make with_llvm=yes builds it.
ifneq ($(origin with_llvm),command line)
override with_llvm = no
endif

ifneq ($(needs_pgxs),)
ifneq ($(PG_MAJOR),)
# installcheck below is ours, not PGXS's.
NO_INSTALLCHECK = 1
PGXS := $(shell "$(PG_CONFIG)" --pgxs)
include $(PGXS)

ifeq ($(PORTNAME),linux)
# Only what the server looks up by name leaves the library.  PostgreSQL 15 does not mark the functions that SQL calls,
# so a list made from the sources is used in place of -fvisibility=hidden.
SHLIB_LINK += -Wl,--version-script=exports.map -Wl,-z,relro,-z,now,-z,noexecstack
$(shlib): exports.map

# Optimised as a whole, hooks that have nothing to do are short: docs/internals/hook-cost.md.  Not where the compiler and
# its linker cannot, nor in builds with options of their own (COPT), nor with with_lto=no.
with_lto ?= $(if $(COPT),no,yes)
ifneq ($(with_lto),no)
LTO_FLAGS = -flto=auto -fno-plt
override CFLAGS += $(shell dir=$$(mktemp -d) && echo 'int main(void) { return 0; }' >"$$dir/a.c" && $(CC) -O2 -fPIC -shared $(LTO_FLAGS) -Werror -o "$$dir/a.so" "$$dir/a.c" >"$$dir/log" 2>&1 && echo '$(LTO_FLAGS)'; rm -rf "$$dir")
endif
endif

exports.map: $(C_FILES)
	@{ echo '{ global: Pg_magic_func; _PG_init;'; \
	  sed -n 's/^PGDLLEXPORT void \(mt_[a-z0-9_]*\)(Datum [a-z]*);.*/  \1;/p' $(C_FILES) /dev/null | sort -u; \
	  sed -n 's/^PG_FUNCTION_INFO_V1(\([a-z0-9_]*\));.*/  \1; pg_finfo_\1;/p' $(C_FILES) /dev/null | sort -u; \
	  echo 'local: *; };'; } > $@

# PGXS tracks no headers; the library is small enough to be compiled again as a whole.
$(OBJS): $(H_FILES) $(EXTENSION).control
endif
endif

$(INSTALL_SCRIPT_FILE): $(SQL_FILES:%=sql/%) $(EXTENSION).control
	@{ echo '-- $(EXTENSION) $(MT_VERSION), made from sql/ by make: do not edit'; \
	  printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; \
	  for f in $(SQL_FILES); do echo; echo "-- sql/$$f"; cat "sql/$$f" || exit 1; done; } > $@.tmp
	@mv $@.tmp $@

# ---- test -----------------------------------------------------------------------------------------------------------
# pg_regress and isolation tests, in this order of files.  A test that needs the preloaded library belongs to
# REGRESS_PRELOAD / ISOLATION_PRELOAD; it gets there by its "requires: preload" line.
# TESTS="access context" (or with %, keys%) leaves these tests only.
chosen = $(filter $(or $(TESTS),%),$(1))
REGRESS_PRELOAD = $(call chosen,$(call tests_requiring_preload,test/sql/*.sql))
REGRESS = $(filter-out $(REGRESS_PRELOAD),$(call chosen,$(call tests_in,test/sql/*.sql)))
ISOLATION_PRELOAD = $(call chosen,$(call tests_requiring_preload,test/specs/*.spec))
ISOLATION = $(filter-out $(ISOLATION_PRELOAD),$(call chosen,$(call tests_in,test/specs/*.spec)))
export REGRESS REGRESS_PRELOAD ISOLATION ISOLATION_PRELOAD

need_server = $(if $(PG_MAJOR),,@echo "no PostgreSQL found: say make PG_CONFIG=/path/to/pg_config" >&2; exit 1)

## installcheck: test the installed extension on the running server that PGHOST, PGPORT, PGUSER name
installcheck:
	$(need_server)
	@PG_CONFIG="$(PG_CONFIG)" test/tools/installcheck

## check: everything, on a throw-away server that leaves nothing behind (SUITES="regress tap" runs these only)
ifneq ($(filter check,$(MAKECMDGOALS)),)
check:
	@test/tools/requirements check
	@$(THROWAWAY) test/tools/run-suites $(SUITES)
endif

## check-SUITE: one of crypto regress isolation pgtap tap attacks clients
$(SUITES:%=check-%): check-%:
	@test/tools/requirements check
	@$(THROWAWAY) $(if $(filter attacks,$*),--edition attacks) test/tools/run-suites $*

## attack-matrix: run the matrix of attacks and write it into docs/security-model.md
attack-matrix:
	@test/tools/requirements check
	@test/tools/attack-matrix

## check-mutants: break the library on purpose, one defect at a time, and see that a test notices each
check-mutants:
	@test/tools/requirements check
	@test/tools/check-mutants

## coverage: lines of the library that the tests reach, in build/coverage (SUITES="regress tap": these only, judges nothing)
coverage:
	@test/tools/requirements coverage
	@test/tools/coverage $(if $(filter file,$(origin SUITES)),,$(SUITES))

## check-core: PostgreSQL's own regression and isolation suites with the library preloaded (check-core-short: regression only)
check-core check-core-short:
	@test/tools/requirements core
	@test/core/run $(if $(filter %-short,$@),--short)

## check-assert: suites on a server with assertions, the cache-heavy ones with no cache lasting (check-assert-short: fewer)
check-assert check-assert-short:
	@test/tools/check-assert $(if $(filter %-short,$@),--short)

## check-valgrind: suites with every server under valgrind's memcheck, thirty times as slow (check-valgrind-short: fewer tests)
check-valgrind check-valgrind-short:
	@test/tools/requirements valgrind
	@test/tools/check-valgrind $(if $(filter %-short,$@),--short)

## check-sanitizers: suites with the library under clang's sanitizers, in a Debian trixie (check-sanitizers-short: fewer tests)
check-sanitizers check-sanitizers-short:
	@test/tools/requirements systems
	@test/tools/check-sanitizers $(if $(filter %-short,$@),--short)

## check-plants: plant defects that valgrind, the sanitizers and assertions must report (PLANTS="leak%": these only)
check-plants:
	@test/tools/requirements valgrind
	@test/tools/requirements systems
	@test/tools/check-plants $(PLANTS)

## check-bare: build, demo and check in a bare Debian made for it (as root; needs debootstrap)
check-bare:
	@test/tools/bare-chroot

## check-matrix: builds and tests on PostgreSQL 15, 17, 18 and 19, each in its Debian (as root; needs debootstrap; MAJORS="18")
check-matrix check-matrix-short:
	@test/tools/requirements systems
	@test/tools/check-matrix $(if $(filter %-short,$@),--short) $(MAJORS)

## fuzz: fuzz what reads outside input, FUZZ_SECONDS (300) for each fuzzer, and measure what they reach
fuzz:
	@test/tools/requirements fuzz
	@test/tools/fuzz --seconds $(or $(FUZZ_SECONDS),300)

## fuzz-short: the same in 30 seconds for all
fuzz-short:
	@test/tools/requirements fuzz
	@test/tools/fuzz --total 30

## fuzz-mutants: break what the fuzzers test, one defect at a time, and see that they find each
fuzz-mutants:
	@test/tools/requirements fuzz
	@test/tools/fuzz --mutants

## check-fuzz: random statements of an application role for CHECK_FUZZ_SECONDS (1200), another tenant's rows as bait
check-fuzz:
	@test/tools/requirements random
	@$(THROWAWAY) test/random/run $(or $(CHECK_FUZZ_SECONDS),1200)

## check-fuzz-short: the same for two minutes
check-fuzz-short:
	@test/tools/requirements random
	@$(THROWAWAY) test/random/run $(or $(CHECK_FUZZ_SECONDS),120)

## check-differential: random statements, ours and where nobody else's rows are, for CHECK_DIFFERENTIAL_SECONDS (1200)
check-differential:
	@test/tools/requirements differential
	@$(THROWAWAY) test/differential/run $(or $(CHECK_DIFFERENTIAL_SECONDS),1200)

## check-differential-short: the same for two minutes, always the same statements (DIFFERENTIAL_SEED=n: others)
check-differential-short:
	@test/tools/requirements differential
	@DIFFERENTIAL_SEED=$${DIFFERENTIAL_SEED:-1} $(THROWAWAY) test/differential/run $(or $(CHECK_DIFFERENTIAL_SECONDS),120)

## differential-plants: plant defects that check-differential-short must find (PLANTS="accessor-immutable": these only)
differential-plants:
	@test/tools/requirements differential
	@test/differential/find-plants $(PLANTS)

## demo: the two-minute tour, on a throw-away server
demo:
	@test/tools/requirements demo
	@$(THROWAWAY) test/demo/run

## bench: what isolation costs against a server without it, into build/bench (BENCH="point join4" measures these only)
bench:
	@test/tools/requirements bench
	@$(THROWAWAY) --edition bench test/bench/run $(BENCH)

## bench-short: a minute of it, to see whether the harness works
bench-short:
	@test/tools/requirements bench
	@$(THROWAWAY) --edition bench test/bench/run --short $(BENCH)

## bench-crypto: what encrypted values cost against OpenSSL alone and against pgcrypto, into build/bench
bench-crypto:
	@test/tools/requirements bench
	@$(THROWAWAY) --edition bench test/bench/crypto

## bench-crypto-short: a few seconds of it, to see whether it works
bench-crypto-short:
	@test/tools/requirements bench
	@$(THROWAWAY) --edition bench test/bench/crypto --short

## bench-hooks: what the hooks cost a statement on an unprotected table, over STARTS (10) starts of the servers
bench-hooks:
	@test/tools/requirements bench
	@$(THROWAWAY) --edition bench test/bench/hooks $(or $(STARTS),10)

## bench-hooks-count: the same in instructions, cache misses and branches, by valgrind
bench-hooks-count:
	@test/tools/requirements bench
	@test/tools/requirements valgrind
	@$(THROWAWAY) --edition bench test/bench/hooks --count

## bench-permissions: what a check of a permission costs, warm and cold, against SQL over the same tables, into build/bench
bench-permissions:
	@test/tools/requirements bench
	@$(THROWAWAY) --edition bench test/bench/permissions

## bench-permissions-short: a few seconds of it, to see whether it works
bench-permissions-short:
	@test/tools/requirements bench
	@$(THROWAWAY) --edition bench test/bench/permissions --short

## requirements: install the Debian packages that check needs (or say which are missing)
requirements:
	@test/tools/requirements check

# ---- sources --------------------------------------------------------------------------------------------------------
## lint: compilers' warnings, cppcheck, layers, SQL conventions, versions, shell scripts, format
lint:
	@test/tools/requirements lint
	@PG_CONFIG="$(PG_CONFIG)" SQL_FILES="$(strip $(SQL_FILES))" MT_VERSION="$(MT_VERSION)" test/tools/lint $(LINT_CHECKS)

## format: lay the C sources out as pgindent does
format:
	@test/tools/requirements lint
	@test/tools/indent $(C_FILES) $(H_FILES) $(sort $(wildcard test/crypto/*.[ch] test/bench/*.c test/fuzz/*.[ch]))

## dist: a release archive of the last commit
dist:
	git archive --format=zip --prefix=$(EXTENSION)-$(MT_VERSION)/ -o $(EXTENSION)-$(MT_VERSION).zip HEAD

## all, install, uninstall, clean: build, install (as root) and remove the extension; PG_CONFIG=... chooses the server
## help: this list
help:
	@sed -n 's/^## \([^:]*\): \(.*\)/\1@\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS=@ read -r t d; do printf '%-36s %s\n' "$$t" "$$d"; done

.PHONY: $(OWN_GOALS)

print-%:
	@echo "$($*)"
