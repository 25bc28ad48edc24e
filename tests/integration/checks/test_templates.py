"""Templates that cannot do their work are found when the project starts."""

import pytest
from django.core.management import call_command

from otpmail import checks
from tests.mailtemplates import templates

BOTH = {"body.txt": "{{ code }}", "body.html": "<b>{{ code }}</b>"}


@pytest.fixture(autouse=True)
def one_purpose(settings):
    settings.OTPMAIL_PURPOSES = {"sign-in": {}}


def found(settings, **parts):
    named = {f"otpmail/sign-in/{name}": text for name, text in parts.items()}
    settings.TEMPLATES = [templates(named)]
    return [message.id for message in checks.check_settings()]


def test_our_own_templates_are_in_order(settings):
    assert found(settings) == []


def test_kiosk_is_in_order():
    call_command("check", "--fail-level", "WARNING")


def test_loader_that_finds_nothing_is_told(settings):
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
    messages = checks.check_settings()
    assert {message.id for message in messages} == {"otpmail.E028"}
    assert len(messages) == 6  # three parts, of any purpose and of this one
    assert all("APP_DIRS" in message.hint for message in messages)


def test_no_engine_at_all_is_told(settings):
    settings.TEMPLATES = []
    assert {message.id for message in checks.check_settings()} == {"otpmail.E028"}


@pytest.mark.parametrize("text", ["{% nonsense %}", "{% include 'missing.txt' %}", "{{ code|no }}"])
def test_template_with_a_fault_is_told(settings, text):
    assert found(settings, **BOTH | {"body.txt": text}) == ["otpmail.E028"]


@pytest.mark.parametrize("name", BOTH)
def test_body_without_the_code_is_told(settings, name):
    assert found(settings, **BOTH | {name: "Hello"}) == ["otpmail.E029"]


def test_code_that_is_broken_up_is_none(settings):
    text = "{% for digit in code %}{{ digit }} {% endfor %}"
    assert found(settings, **BOTH | {"body.txt": text}) == ["otpmail.E029"]


def test_code_in_a_subject_is_told_unless_it_is_wanted(settings):
    owner = {"subject.txt": "Your code: {{ code }}"}
    assert found(settings, **owner) == ["otpmail.E030"]
    settings.OTPMAIL_CODE_IN_SUBJECT = True
    assert found(settings, **owner) == []


@pytest.mark.parametrize("name", BOTH)
def test_body_that_is_overridden_without_the_other_is_told(settings, name):
    assert found(settings, **{name: BOTH[name]}) == ["otpmail.W014"]


def test_sample_is_what_a_check_shows(settings):
    text = {**BOTH, "body.txt": "{{ code }} {{ amount|floatformat:places }}"}
    assert found(settings, **text) == ["otpmail.W013"]
    settings.OTPMAIL_PURPOSES = {"sign-in": {"SAMPLE": {"amount": 12, "places": 2}}}
    assert found(settings, **text) == []


@pytest.mark.parametrize(
    "sample", [7, "amount", None, ["a"], {"code": "1"}, {"amount": 1, "until": 2}]
)
def test_sample_is_what_issue_takes(settings, sample):
    settings.OTPMAIL_PURPOSES = {"sign-in": {"SAMPLE": sample}}
    assert "otpmail.E031" in found(settings)


UNSEEN = [
    "<title>{{ code }}</title>",
    "<head><meta content='{{ code }}'></head>",
    "<!-- {{ code }} -->",
    "<p style='display:none'>{{ code }}</p>",
    "<div style='color:red; DISPLAY : none !important'><br><p><b>{{ code }}</b></div>",
    "<p hidden>{{ code }}</p>",
    "<p style='visibility:hidden'>{{ code }}</p>",
    "<p style='font-size:0'>{{ code }}</p>",
    "<p style='opacity:0.0;'>{{ code }}</p>",
    "<style>{{ code }}</style>",
    "<img alt='{{ code }}'>",
]


@pytest.mark.parametrize("html", UNSEEN)
def test_code_that_nobody_sees_is_none(settings, html):
    assert found(settings, **BOTH | {"body.html": html}) == ["otpmail.E029"]
    assert found(settings, **BOTH | {"body.html": f"{html}<p>{{{{ code }}}}</p>"}) == []


def test_code_is_seen_beside_what_is_hidden(settings):
    html = "<p style='display:block; font-size:0.9em; opacity:0.5'>Hello<br>{{ code }}"
    assert found(settings, **BOTH | {"body.html": html}) == []


@pytest.mark.parametrize("loaders", [None, ["filesystem", "app_directories"]])
def test_purpose_that_has_a_folder_and_no_rules_is_looked_at(settings, tmp_path, loaders):
    (tmp_path / "otpmail" / "new-address").mkdir(parents=True)
    for name in BOTH:
        (tmp_path / "otpmail" / "new-address" / name).write_text("Hello")
    named = [f"django.template.loaders.{name}.Loader" for name in loaders or ()]
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [tmp_path],
            **({"OPTIONS": {"loaders": named}} if named else {"APP_DIRS": True}),
        }
    ]
    told = [message.msg for message in checks.check_settings() if message.id == "otpmail.E029"]
    assert len(told) == 2
    assert all("'new-address'" in one for one in told)
