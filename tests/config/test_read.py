import pytest

from algowatch.config import Duration, Section, read_document, read_text
from algowatch.errors import ConfigError


class Item(Section):
    name: str
    wait: Duration = 0


class File(Section):
    not_supported = {"consul": "use file_sd_configs instead"}  # noqa: RUF012

    items: list[Item]
    extra: Item | None = None


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_text(File, text, "f.yml")
    return [str(fault) for fault in caught.value.faults]


def test_all_faults_of_a_file_come_together_each_with_its_line():
    assert faults("items:\n  - nme: x\n    wait: 5q\n  - name: 5\n") == [
        "f.yml:2: items[0]: key 'name' is missing; add name:",
        "f.yml:2: items[0].nme: unknown key; did you mean 'name'?",
        "f.yml:3: items[0].wait: not a valid duration: '5q'; write for example 15s, 1m30s or 500ms",
        "f.yml:4: items[1].name: input should be a valid string, got 5",
    ]


def test_a_key_of_the_original_program_that_is_not_done_is_refused_by_name():
    assert faults("items: []\nconsul: x\n") == [
        "f.yml:2: consul: not supported by the embedded engine; use file_sd_configs instead"
    ]


def test_text_that_is_not_yaml_names_the_line():
    assert faults("items: [\n")[0].startswith("f.yml:2: not valid YAML: ")


def test_a_key_written_twice_is_a_fault():
    assert faults("items: []\nextra: {name: a}\nextra: {name: b}\n") == [
        "f.yml:3: extra: key written twice; keep one of the two"
    ]


def test_a_wrong_mapping_is_never_printed():
    assert "hunter2" not in "\n".join(faults("items:\n  - name: {password: hunter2}\n"))


def test_times_and_yes_stay_text_and_leading_zeroes_are_decimal():
    document = read_document("close: 16:00\nflag: yes\ntwelve: 012\nreal: true\n", "f.yml")
    assert document.data == {"close": "16:00", "flag": "yes", "twelve": 12, "real": True}


def test_deep_nesting_is_a_fault_and_not_the_end_of_the_process():
    assert faults("[" * 100_000)[0].startswith("f.yml: not valid YAML: nested more than 60 levels deep (line 1)")


def test_a_few_lines_of_aliases_cannot_stand_for_millions():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "more than 1000000 keys and values" in faults("\n".join(levels))[0]


def test_durations_are_held_in_milliseconds():
    file, _ = read_text(File, "items:\n  - {name: a, wait: 1m30s}\n", "f.yml")
    assert file.items[0].wait == 90_000
