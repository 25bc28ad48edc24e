# One command to see it work, one to check it. Both install what they need into .venv.

CANDIDATES = python3.13 python3.12 python3.14 python3 $(wildcard $(HOME)/.pyenv/versions/3.1[234]*/bin/python3)
OLDEST = python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12*/bin/python3)
find = $(shell for p in $(1); do $$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)
PYTHON ?= $(call find,$(CANDIDATES))
PYTHON_OLDEST ?= $(call find,$(OLDEST))

V = .venv/bin/
comma = ,
POSTGRES = postgres://postgres@127.0.0.1:5432/test
MARIADB = mysql://root@127.0.0.1:3306/test
# Where SQL is, or what another Django does otherwise.
SQL = $(addprefix tests/integration/,audit challenges db delivery limits operations signin)
DJANGO = tests/unit $(addprefix tests/integration/,audit backends challenges checks db delivery signin)
# What takes long and hangs on the database: which statement a process died at, who is notified.
DEATHS = $(addprefix tests/integration/,delivery/test_crash_points.py engines/test_worker.py)
# Tests wait more than they work: this many processes keep two cores busy.
PROCESSES = 6
PYTEST = pytest --numprocesses $(PROCESSES) --dist loadgroup
QUICK = -m "not long"
# `manage.py migrate` is tried on all three, once.
DRIVER = $(shell pkg-config --exists libmariadb 2>/dev/null && echo .venv/mariadb/done)
# What this machine does not have is skipped and says so; on CI that is a failure.
missing = echo "skipped: $(1)"; test "$$CI" != true

.PHONY: help demo check test test-each test-sqlite test-postgres test-mariadb test-oldest lint format types imports migrations docs lock clean

help:  ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 | \2/p' Makefile | column -t -s '|'

demo: .venv/demo.done  ## See it work: a transfer asked for, its code mailed and typed back (ONCE=1 ends by itself)
	@$(V)python -m demo $(if $(ONCE),--once)

# Where no database matters (other processes, real mail servers) once is enough, and it is here.
test: .venv/dev.done .venv/django/tests  ## Run the tests on SQLite, but for those that take long
	DJANGO_SOURCE=.venv/django $(V)$(PYTEST) $(QUICK)

test-sqlite: .venv/dev.done .venv/django/tests $(DRIVER)
	DJANGO_SOURCE=.venv/django $(V)$(PYTEST) -m "not alone" --cov
	$(V)pytest -m alone

test-each:  ## Run all tests: on SQLite, on PostgreSQL, on MariaDB, and on the oldest Django and Python
	$(MAKE) --no-print-directory test-sqlite
	$(MAKE) --no-print-directory test-postgres
	$(MAKE) --no-print-directory test-mariadb
	$(MAKE) --no-print-directory test-oldest

test-postgres: .venv/dev.done
	@if $(V)python -c "import psycopg; psycopg.connect('$(POSTGRES)')" 2>/dev/null; then \
	set -x; DATABASE_URL=$(POSTGRES) $(V)$(PYTEST) tests/integration $(QUICK) && \
	DATABASE_URL=$(POSTGRES) $(V)$(PYTEST) $(DEATHS); \
	else $(call missing,the tests on PostgreSQL$(comma) which does not run at 127.0.0.1:5432); fi

# The driver is compiled against Debian's libmariadb-dev, so it stands apart from what all need.
test-mariadb: .venv/dev.done
	@if ! $(V)python -c "import socket; socket.create_connection(('127.0.0.1', 3306), 1)" 2>/dev/null; then \
	$(call missing,the tests on MariaDB$(comma) which does not run at 127.0.0.1:3306); \
	elif ! pkg-config --exists libmariadb 2>/dev/null; then \
	$(call missing,the tests on MariaDB$(comma) whose driver needs the packages libmariadb-dev and pkg-config); \
	else $(MAKE) --no-print-directory .venv/mariadb/done && \
	set -x && PYTHONPATH=.venv/mariadb DATABASE_URL=$(MARIADB) $(V)$(PYTEST) $(SQL) $(QUICK); fi

test-oldest:
	@if [ -n "$(PYTHON_OLDEST)" ]; then $(MAKE) --no-print-directory .venv-oldest/done && \
	set -x && .venv-oldest/bin/$(PYTEST) -p no:cacheprovider $(DJANGO) $(QUICK); \
	else $(call missing,the tests on Django 5.2 with Python 3.12$(comma) which this machine does not have); fi

check: lint types imports migrations docs test-each  ## All that CI runs: lint, types, imports, migrations, docs, tests, the demo
	$(MAKE) --no-print-directory demo ONCE=1

lint: .venv/dev.done
	$(V)ruff format --check
	$(V)ruff check
	$(V)typos

format: .venv/dev.done  ## Put the code in its format
	$(V)ruff format
	$(V)ruff check --fix

types: .venv/dev.done
	$(V)mypy

imports: .venv/dev.done
	$(V)lint-imports

migrations: .venv/dev.done
	DJANGO_SETTINGS_MODULE=tests.settings $(V)python manage.py makemigrations --check --dry-run

docs: .venv/docs.done  ## Build the documentation: build/docs/index.html
	$(V)sphinx-build --quiet --fail-on-warning --keep-going --jobs auto --doctree-dir build/doctrees docs build/docs

lock: .venv/dev.done  ## Pin the requirements anew: names, versions and hashes, no address
	for name in demo dev docs mariadb; do $(V)uv pip compile --universal --python-version 3.12 --generate-hashes --no-header --no-annotate --upgrade requirements/$$name.in -o requirements/$$name.txt; done
	$(V)uv pip compile --python-version 3.12 --generate-hashes --no-header --no-annotate --upgrade requirements/oldest.in -o requirements/oldest.txt

clean:  ## Remove all that was installed and made
	rm -rf .venv .venv-oldest build var logs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "otpmail needs Python 3.12 or newer, with venv; none was found. Install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

# pip checks each hash; the package itself is installed from here, with nothing downloaded for it.
install = $(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$(2).txt \
	&& $(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e . \
	|| { echo "The packages could not be installed: is there a way to a package registry?"; exit 1; }

.venv/demo.done: requirements/demo.txt pyproject.toml | .venv/bin/python
	@echo "installing into .venv (once)"
	@$(call install,.venv,demo)
	@touch $@

.venv/dev.done: requirements/dev.txt pyproject.toml | .venv/bin/python
	@echo "installing into .venv (once)"
	@$(call install,.venv,dev)
	@touch $@ .venv/demo.done

.venv/docs.done: requirements/docs.txt .venv/dev.done
	@echo "installing into .venv (once)"
	@$(V)python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

# Django's own mail tests, which its wheel leaves out.
.venv/django/tests: .venv/dev.done
	@echo "fetching Django's tests (once)"
	@$(V)python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest .venv/sdist "Django==$$($(V)python -m django --version)"
	@mkdir -p .venv/django && tar -xzf .venv/sdist/*jango-*.tar.gz -C .venv/django --strip-components 1
	@touch $@

.venv/mariadb/done: requirements/mariadb.txt .venv/dev.done
	@echo "compiling MariaDB's driver (once)"
	@$(V)python -m pip install --quiet --disable-pip-version-check --require-hashes --upgrade --target .venv/mariadb -r requirements/mariadb.txt
	@touch $@

.venv-oldest/done: requirements/oldest.txt pyproject.toml
	@echo "installing into .venv-oldest (once)"
	@$(PYTHON_OLDEST) -m venv .venv-oldest
	@$(call install,.venv-oldest,oldest)
	@touch $@
