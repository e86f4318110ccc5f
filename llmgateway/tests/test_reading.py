"""Each setting takes what its kind allows and refuses all else, by name and line, without secrets.

All settings of the schema are walked; a new row is among them.
"""

import os

import pytest

from llmgateway.configuration import kinds, reading, schema

SECRET = "sk-canary-secret-9f3a"
SETTINGS = schema.SETTINGS.values()
BOOLEANS = [each.name for each in SETTINGS if each.kind is kinds.BOOLEAN]
NUMBERS = [each for each in SETTINGS if "number from" in each.kind.right]
HEADERS = [each.name for each in SETTINGS if each.kind is kinds.HEADER]
ADDRESSES = [each.name for each in SETTINGS if each.kind in (schema.HTTP, schema.HTTPS)]
SECRETS = [each.name for each in SETTINGS if each.secret]
READ = [name for name in schema.SETTINGS if name != "ENV_FILE"]
CURSORS = "postgres://u@a/x?sslmode=require&disable_server_side_cursors=true"
STATUSES = "SUBMISSIONS_STATUSES"
ORIGINS = [each.name for each in SETTINGS if each.kind is kinds.ORIGINS]
# A browser sends none of them.
NO_ORIGINS = (
    "*",
    "https://*.example",
    "https://*",
    "http://*.a.example:8000",
    "https://tool.example/path",
    "https://tool.example/",
    "https://Tool.example",
    "tool.example",
    "null",
)


def read(**environment):
    return reading.read({"ENV_FILE": os.devnull} | environment)


def problem(**environment):
    [found] = read(**environment).problems
    return found


@pytest.fixture
def lines(tmp_path):
    """Read these lines as .env, and this environment."""

    def write(text, **environment):
        (tmp_path / ".env").write_text(text)
        return reading.read({"ENV_FILE": str(tmp_path / ".env")} | environment)

    return write


# Values -------------------------------------------------------------------------------------------


def test_there_is_something_to_walk():
    assert len(BOOLEANS) > 7
    assert len(NUMBERS) > 20
    assert len(HEADERS) > 3
    assert len(ADDRESSES) > 8
    assert len(SECRETS) > 7


def test_nothing_set_is_in_order():
    assert read().problems == read().doubts == []
    assert set(read().sources) == {"ENV_FILE"}


@pytest.mark.parametrize("name", BOOLEANS)
def test_a_boolean_is_one_of_few_words(name):
    for word in ("true", "TRUE", "1", "yes", "On"):
        assert read(**{name: word}).values[name] is True
    for word in ("false", "False", "0", "no", "OFF"):
        assert read(**{name: word}).values[name] is False
    for word in ("ture", "flase", "y", "t", "2", "enabled", "true # or false", "None"):
        found = problem(**{name: word})
        assert found.name == name
        assert "Write true or false" in found.fix


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_a_number_is_one_in_its_range(setting):
    for text in ("x", "1e3", "0x10", "1_000", "nan", "inf", "٣", "1,5", "30s", "-1", "9" * 18):
        found = problem(**{setting.name: text})
        assert found.name == setting.name
        assert found.fix == f"Write {setting.kind.right}."
    assert setting.default == read(**{setting.name: "x"}).values[setting.name] or isinstance(
        setting.default, schema.Computed
    )


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_one_line_of_latin_1(name):
    for text in (
        f"Bearer {SECRET}…",
        f"Bearer {SECRET}\nx-other: 1",
        f"{SECRET}\r",
        f"{SECRET}\x00",
        f"{SECRET} ",
        f" {SECRET}",
        f"“{SECRET}”",
    ):
        found = problem(**{name: text})
        assert found.name == name
        assert SECRET not in str(found)
    assert read(**{name: "Bearer é"}).values[name] == "Bearer é"


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_has_a_scheme_and_a_host(name):
    for text in (
        f"{SECRET}",
        f"models.example/{SECRET}",
        f"ftp://models.example/{SECRET}",
        f"https:///{SECRET}",
        f"https://models.example:port/{SECRET}",
        f"https://[::1/{SECRET}",
        f"https://models.example/a {SECRET}",
        f"https://models.example/a\n{SECRET}",
    ):
        found = problem(**{name: text})
        assert found.name == name
        assert SECRET not in str(found)
    assert read(**{name: "https://models.example/v1"}).problems == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LOG_FORMAT", "JSON", "json"),
        ("LOG_LEVEL", "info", "INFO"),
        ("UPSTREAM_HTTP_HOSTS", "vLLM.internal, ::1,", ["vllm.internal", "::1"]),
        ("UPSTREAM_HTTP_HOSTS", "", []),
        ("UPSTREAM_HTTP_HOSTS", "[::1],a.example.", ["::1", "a.example"]),
        ("ALLOWED_HOSTS", ".example.com,[::1],::1", [".example.com", "[::1]", "[::1]"]),
        ("ALLOWED_HOSTS", "*,A.example.", ["*", "a.example"]),
        ("HOST", "[::]", "::"),
        ("CSRF_TRUSTED_ORIGINS", "https://a.example:8443", ["https://a.example:8443"]),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1/32", ["10.0.0.0/8", "192.0.2.1"]),
        ("TRUSTED_PROXIES", "FD00::/8,::1", ["fd00::/8", "::1"]),
        (STATUSES, "refused,Interrupted", ["refused", "interrupted"]),
        ("SUBMISSIONS_FROM", "", None),
        ("METADATA_SAMPLE", "5.5", 5.5),
        ("DATABASE_URL", "postgres://u@/x?host=/run/pg", "postgres://u@/x?host=/run/pg"),
        ("DATABASE_URL", "postgres://u@a:1,b:2/x", "postgres://u@a:1,b:2/x"),
        ("DATABASE_URL", CURSORS, CURSORS),
        ("LLM_LABEL", "", "OPEN_AI"),
        ("HOST", "", "127.0.0.1"),
        ("TITLES", "", True),
        ("CORS_ORIGINS", "https://tool.example", ["https://tool.example"]),
        ("CORS_ORIGINS", "http://[::1]:8080", ["http://[::1]:8080"]),
    ],
)
def test_what_a_text_means(name, text, value):
    found = read(**{name: text})
    assert found.problems == []
    assert found.values[name] == value


@pytest.mark.parametrize("name", ORIGINS)
def test_a_pattern_of_origins_is_refused_in_words(name):
    assert "each has to be named" in str(problem(**{name: "https://a.example,https://*.a.example"}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "LOUD"),
        ("HOST", "https://gateway.example"),
        ("HOST", "0.0.0.0:8000"),
        ("HOST", "*"),
        ("UPSTREAM_HTTP_HOSTS", "*"),
        ("UPSTREAM_HTTP_HOSTS", ".internal"),
        ("SECRET_KEY", "a\x00b"),
        ("ALLOWED_HOSTS", "https://gateway.example"),
        ("ALLOWED_HOSTS", "gateway.example:8000"),
        *((name, origin) for name in ORIGINS for origin in NO_ORIGINS),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "::/0"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "nginx"),
        ("UPSTREAM_SECRETS", "KEY-OF-A"),
        ("UPSTREAM_SECRETS", "SECRET_KEY"),
        (STATUSES, "pending"),
        ("LLM_CA_BUNDLE", "/nowhere/ca.pem"),
        ("LLM_CA_BUNDLE", "/"),
        ("CHECKPOINT_FILE", "/"),
        ("VAR_DIR", os.devnull),
        ("ENV_FILE", "/nowhere/.env"),
        ("TOKEN_URL", "http://models.example/tokens"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@db:port/x"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@db/x?sslmood=require"),
    ],
)
def test_what_no_kind_takes(name, text):
    found = problem(**{name: text})
    assert found.name == name
    assert found.fix
    assert SECRET not in str(found)


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_quoted(name):
    assert SECRET not in read(**{name: f"{SECRET}\n\x00…"}).report()


def test_a_key_in_the_wrong_place_is_not_quoted():
    for name in READ:
        assert SECRET not in read(**{name: f"{SECRET}:…\x00"}).report()


def test_all_that_is_wrong_is_told_at_once():
    found = read(PORT="http", DEMO="ture", LOG_LEVEL="LOUD", LLM_TIMEOUT="-1")
    assert [each.name for each in found.problems] == ["LLM_TIMEOUT", "PORT", "LOG_LEVEL", "DEMO"]
    assert "PORT is “http”, which is no whole number. Write a whole number" in found.report()


# Lines of .env ------------------------------------------------------------------------------------


def test_a_line_is_named(lines, tmp_path):
    found = lines("# the upstream\n\nPORT=80a0\nDEMO=flase\n")
    assert [each.where for each in found.problems] == [f"{tmp_path}/.env:{n}" for n in (3, 4)]
    assert "PORT" in found.report()


def test_the_environment_wins(lines, tmp_path):
    found = lines("PORT=8001\nGRACE=5", PORT="8002")
    assert (found.values["PORT"], found.values["GRACE"]) == (8002, 5)
    assert found.sources["PORT"] == "environment"
    assert found.sources["GRACE"] == f"{tmp_path}/.env:2"
    assert lines("PORT=80a0", PORT="8002").problems == []


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("LLM_LABEL=a b#c", "a b#c"),
        ("LLM_LABEL='a \"b\" \\c'", 'a "b" \\c'),
        ('LLM_LABEL="a \\"b\\" c"', 'a "b" c'),
        ("export LLM_LABEL=x\r", "x"),
        ("LLM_LABEL=$OTHER", "$OTHER"),
        ("\ufeffLLM_LABEL=x", "x"),
    ],
)
def test_how_a_line_is_read(lines, line, value):
    found = lines(line)
    assert found.problems == []
    assert found.values["LLM_LABEL"] == value


@pytest.mark.parametrize(
    "text",
    [
        f"LLM_API_AUTHORIZATION: Bearer {SECRET}",
        f"LLM_API_AUTHORIZATION = {SECRET}",
        f"LLM_API_AUTHORIZATION='{SECRET}",
        f"LLM_API_AUTHORIZATION={SECRET}\nLLM_API_AUTHORIZATION={SECRET}",
        f"LLM_API_AUTHORISATION={SECRET}",
        f"KEY_OF_AZURE={SECRET}",
        f"{SECRET}",
        f"{SECRET.replace('-', '_')}==",
        f"ENV_FILE={SECRET}",
        "GRACE=5\nTITELS=false",
        "PGPASSWORD=x",
    ],
)
def test_a_line_that_means_nothing_is_refused(lines, tmp_path, text):
    found = lines(text)
    [wrong] = found.problems
    assert wrong.where.startswith(f"{tmp_path}/.env:")
    assert SECRET not in str(wrong)
    assert SECRET.replace("-", "_") not in str(wrong)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / ".env").write_bytes(b"LLM_LABEL=\xff")
    assert problem(ENV_FILE=str(tmp_path / ".env")).text == "is not UTF-8"
    assert read(ENV_FILE=str(tmp_path)).problems[0].text.startswith("cannot be read")


@pytest.mark.parametrize("name", READ)
def test_a_misspelt_name_is_refused_with_the_one_that_is_meant(lines, name):
    swapped = f"{name[:2]}{name[3]}{name[2]}{name[4:]}"
    for other in {f"{name}S", f"{name[:-2]}{name[-1]}", name.lower(), swapped} - {*schema.SETTINGS}:
        [wrong] = lines(f"{other}=1").problems
        assert wrong.name == other
        assert wrong.fix == f"Did you mean {name}?"


def test_names_that_mean_something(lines):
    text = "COMPOSE_FILE=a\nPOSTGRES_PASSWORD=x\nUPSTREAM_SECRETS=KEY_OF_A\nKEY_OF_A=x"
    found = lines(text)
    assert found.problems == []
    assert found.upstream_secrets == {"KEY_OF_A": "x"}
    assert lines(text, UPSTREAM_SECRETS="KEY_OF_B").problems == []


def test_a_name_in_the_environment_is_doubted_where_it_looks_like_ours():
    [doubt] = read(LLM_ENDPONT="x", HOME="/", PATH="/bin", HOSTNAME="a", PGPORT="1").doubts
    assert doubt.name == "LLM_ENDPONT"
    assert "LLM_ENDPOINT" in doubt.fix
    assert read(LLM_ENDPONT="x").problems == []


# Secrets from files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SECRETS, "KEY_OF_A"])
def test_a_secret_comes_from_its_file(lines, tmp_path, name):
    value = "https://db.example" if name == "LLM_PROXY" else SECRET
    value = f"postgresql://u:{SECRET}@db/x" if name == "DATABASE_URL" else value
    value = f"smtps://u:{SECRET}@mail.example" if name == "NOTICE_MAIL" else value
    path = tmp_path / "secret"
    names = {f"{name}_FILE": str(path), "UPSTREAM_SECRETS": "KEY_OF_A"}

    def found(text):
        path.write_text(text)
        result = read(**names)
        return (result.values | result.upstream_secrets)[name], result.problems

    assert found(f"{value}\n") == found(value) == found(f"{value}\r\n") == (value, [])
    assert read(**names).sources[name] == f"the file {path}"
    assert lines(f"{name}_FILE={path}", UPSTREAM_SECRETS="KEY_OF_A").problems == []
    for text in ("", "\n"):
        [wrong] = found(text)[1]
        assert wrong.name == f"{name}_FILE"
    path.write_text(value)
    assert problem(**names, **{name: value}).text == f"and {name} are both set"
    [wrong] = lines(f"{name}={value}", **names).problems
    assert wrong.name == f"{name}_FILE"
    for other in (tmp_path, tmp_path / "none"):
        assert "cannot be read" in problem(**names | {f"{name}_FILE": str(other)}).text


def test_children_get_what_was_read(lines, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    found = lines(f"PORT=8001\nMETRICS_TOKEN_FILE={tmp_path}/secret\nUPSTREAM_SECRETS=A\nA=x")
    again = reading.read(found.texts | {"ENV_FILE": os.devnull})
    assert again.problems == []
    assert again.values | {"ENV_FILE": ""} == found.values | {"ENV_FILE": ""}
    assert again.upstream_secrets == {"A": "x"}
