import pytest

from asennp.errors import InputError
from asennp.evaluate.reference import load_reference, reference_names


@pytest.mark.parametrize("name", reference_names())
def test_shipped_tables_read(name):
    table = load_reference(name)
    assert table.values and all(v.source and v.method and v.value > 0 for v in table.values)
    # a phase, property and method occurs once
    assert len({(v.phase, v.property, v.method, v.source) for v in table.values}) == len(table.values)


def test_values_are_found():
    zno = load_reference("ZnO")
    (a,) = zno.find("wurtzite", "a", "PBE-D3")
    assert a.value == 3.249 and a.unit == "Å" and a.doi.startswith("10.")
    assert zno.by_method("rocksalt")["PBE-D3"] == {"a": 4.279, "formation": 138.93}


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="zno"):
        load_reference("zno2")
    file = tmp_path / "own.yaml"
    file.write_text("compound: X\nsources: {a: {citation: me}}\nvalues:\n  - [fcc, a, 3.5, Å, PBE, b]\n")
    with pytest.raises(InputError, match="unknown source"):
        load_reference(file)
    file.write_text("compound: X\n")
    with pytest.raises(InputError, match="no sources"):
        load_reference(file)
    file.write_text("compound: X\nsources: {a: {citation: me}}\nvalues:\n  - [fcc, a, high, Å, PBE, a]\n")
    with pytest.raises(InputError, match="not a row"):
        load_reference(file)
