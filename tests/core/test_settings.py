"""Settings: three layers, plugin sections, and faults that name themselves."""

from __future__ import annotations

import pytest
from pydantic import Field, RootModel, field_validator, model_validator

from stellarstream_core.errors import SettingsError
from stellarstream_core.hookspecs import PluginSettings
from stellarstream_core.settings import PluginSection, load_settings

CONTRACT = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"


class Shoe(PluginSection):
    size: int = Field(40, gt=0)
    colours: list[str] = []


SHOE = PluginSettings("shoe-shop", Shoe)


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "stellarstream.toml"
        path.write_text(text)
        return path

    return write


def test_flags_win_over_environment_and_environment_over_the_file(file):
    path = file('network = "pubnet"\nstart_ledger = 5\ndatabase_url = "sqlite:///file.db"')
    settings = load_settings(
        path, environ={"STELLARSTREAM_START_LEDGER": "7"}, flags={"database_url": "sqlite:///flag.db", "network": None}
    )
    assert (settings.network, settings.start_ledger, settings.database_url) == ("pubnet", 7, "sqlite:///flag.db")
    assert settings.origin("network") == str(path)
    assert settings.origin("start_ledger") == "$STELLARSTREAM_START_LEDGER"
    assert settings.origin("database_url") == "flag"
    assert settings.origin("log_format") == "default"


def test_lists_are_comma_separated_in_the_environment():
    settings = load_settings(
        environ={"STELLARSTREAM_RPC_URL": "http://a, http://b ,", "STELLARSTREAM_CONTRACTS": CONTRACT}
    )
    assert settings.rpc_url == ["http://a", "http://b"]
    assert settings.contracts == [CONTRACT]


def test_a_named_network_brings_its_passphrase_and_endpoint():
    settings = load_settings(environ={"STELLARSTREAM_NETWORK": "testnet"})
    assert settings.passphrase == "Test SDF Network ; September 2015"
    assert settings.rpc_urls == ["https://soroban-testnet.stellar.org"]


def test_any_network_works_with_its_passphrase_and_brings_no_endpoint():
    settings = load_settings(
        environ={"STELLARSTREAM_NETWORK": "mine", "STELLARSTREAM_NETWORK_PASSPHRASE": "Mine ; 2026"}
    )
    assert settings.passphrase == "Mine ; 2026"
    assert settings.rpc_urls == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('netwrok = "pubnet"', "Did you mean 'network'?"),
        ('network = "main"', "no known passphrase"),
        ("start_ledger = 0", "start_ledger: input should be greater"),
        ('start_ledger = "many"', "start_ledger: input should be a valid integer"),
        ('contracts = ["CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMB"]', "checksum"),
        ("network = [", "stellarstream.toml"),
        ("x = " + "[" * 5000 + "]" * 5000, "recursion"),
        ("start_ledger = " + "9" * 5000, "digits"),
        ("plugins = 3", "plugins"),
        ("[plugins.shoe-shop]\nsize = 0", "plugins.shoe-shop.size: input should be greater"),
        ("[plugins.shoe-shop]\nsice = 1", "Did you mean 'plugins.shoe-shop.size'?"),
        ("[plugins.shoe-shp]\nsize = 1", "Did you mean 'plugins.shoe-shop'?"),
    ],
)
def test_a_fault_is_named_with_what_to_do(file, text, said):
    with pytest.raises(SettingsError) as caught:
        load_settings(file(text), environ={}).with_sections([SHOE])
    assert said in caught.value.message


def test_every_fault_is_told_at_once(file):
    with pytest.raises(SettingsError) as caught:
        load_settings(file('netwrok = "x"\nstart_ledger = -1'), environ={})
    assert "netwrok" in caught.value.message
    assert "start_ledger" in caught.value.message


def test_a_fault_in_the_environment_names_the_variable():
    with pytest.raises(SettingsError, match=r"\$STELLARSTREAM_NETWROK"):
        load_settings(environ={"STELLARSTREAM_NETWROK": "pubnet"})


def test_a_plugin_reads_its_own_section_and_its_environment(file):
    path = file('[plugins.shoe-shop]\nsize = 41\ncolours = ["red"]')
    settings = load_settings(path, environ={"STELLARSTREAM_PLUGINS__SHOE_SHOP__SIZE": "42"}).with_sections([SHOE])
    assert settings.section(Shoe) == Shoe(size=42, colours=["red"])
    assert settings.origin("plugins.shoe-shop.size") == "$STELLARSTREAM_PLUGINS__SHOE_SHOP__SIZE"
    assert load_settings(environ={}).section(Shoe) == Shoe()


def test_the_section_of_a_plugin_that_is_not_loaded_is_left_unread(file):
    settings = load_settings(file("[plugins.other]\nx = 1"), environ={}).with_sections([SHOE], ignored=["other"])
    assert settings.section(Shoe).size == 40


def test_a_section_is_the_same_with_dashes_and_underscores(file):
    entry = PluginSettings("my_plugin", Shoe)
    variables = {"STELLARSTREAM_PLUGINS__MY_PLUGIN__SIZE": "42"}
    settings = load_settings(environ=variables).with_sections([entry])
    assert settings.section(Shoe).size == 42
    assert settings.origin("plugins.my_plugin.size") == "$STELLARSTREAM_PLUGINS__MY_PLUGIN__SIZE"
    path = file('[plugins.my_plugin]\nsize = 41\ncolours = ["red"]')
    assert load_settings(path, environ=variables).with_sections([entry]).section(Shoe) == Shoe(size=42, colours=["red"])
    with pytest.raises(SettingsError, match="once more"):
        load_settings(file("[plugins.my_plugin]\n[plugins.my-plugin]"), environ={}).with_sections([entry])


def test_an_empty_variable_counts_as_not_given(file):
    names = [
        "START_LEDGER",
        "NETWORK",
        "RPC_URL",
        "LOG_FORMAT",
        "ALLOWED_PLUGINS",
        "PLUGINS__SHOE_SHOP__SIZE",
        "CONFIG",
    ]
    path = file('network = "pubnet"\nrpc_url = "http://a"')
    settings = load_settings(path, environ={f"STELLARSTREAM_{name}": "" for name in names}).with_sections([SHOE])
    assert (settings.network, settings.rpc_url, settings.start_ledger) == ("pubnet", ["http://a"], None)
    assert settings.allowed_plugins is None
    assert settings.section(Shoe).size == 40
    assert settings.origin("network") == str(path)


class Keyed(PluginSection):
    token: str


def test_a_required_key_is_named_even_where_its_section_is_absent():
    entry = PluginSettings("keyed", Keyed)
    with pytest.raises(SettingsError, match=r"^plugins\.keyed\.token: field required"):
        load_settings(environ={}).with_sections([entry])
    with pytest.raises(SettingsError, match=r"^Keyed\.token: field required"):
        load_settings(environ={}).section(Keyed)
    settings = load_settings(environ={"STELLARSTREAM_PLUGINS__KEYED__TOKEN": "x"}).with_sections([entry])
    assert settings.section(Keyed).token == "x"
    assert dict(settings.sections) == {"keyed": Keyed(token="x")}


class Whole(PluginSection):
    @model_validator(mode="after")
    def never(self):
        raise ValueError("no")


@pytest.mark.parametrize("model", [Whole, RootModel[int]])
def test_a_fault_of_a_whole_section_names_the_section(model):
    with pytest.raises(SettingsError, match=r"^plugins\.whole: "):
        load_settings(environ={}).with_sections([PluginSettings("whole", model)])


class Failing(PluginSection):
    size: int = 1

    @field_validator("size")
    @classmethod
    def explode(cls, _):
        raise RuntimeError("boom")


def test_a_model_that_fails_is_told_to_whoever_asks_and_an_error_otherwise():
    settings = load_settings(environ={"STELLARSTREAM_PLUGINS__FAILING__SIZE": "3"})
    entries = [PluginSettings("failing", Failing), SHOE]
    with pytest.raises(SettingsError, match=r"plugins\.failing: its check failed: RuntimeError: boom"):
        settings.with_sections(entries)
    told = []
    checked = settings.with_sections(entries, blame=lambda name, error: told.append((name, str(error))))
    assert told == [("failing", "boom")]
    assert set(checked.sections) == {"shoe-shop"}


def test_sections_that_nobody_registered_are_left_unread_where_that_is_asked(file):
    settings = load_settings(file("[plugins.unknown]\nx = 1"), environ={})
    assert set(settings.with_sections([SHOE], lenient=True).sections) == {"shoe-shop"}
    with pytest.raises(SettingsError, match=r"plugins\.unknown"):
        settings.with_sections([SHOE])


def test_secrets_are_not_printed():
    settings = load_settings(environ={"STELLARSTREAM_SECRET_KEY": "hunter2hunter2"})
    assert "hunter2" not in repr(settings)


def test_a_missing_file_that_was_named_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "absent.toml", environ={})


def test_variables_of_the_test_suite_and_of_the_command_line_are_no_settings():
    load_settings(environ={"STELLARSTREAM_TEST_POSTGRES_URL": "x", "STELLARSTREAM_LOG_LEVEL": "debug"})
