"""The kiosk with a hook of its own after each third commit, which raises before otpmail's runs."""

from benchmarks.projects.base import *  # noqa: F403

ROOT_URLCONF = "benchmarks.projects.hook_urls"
