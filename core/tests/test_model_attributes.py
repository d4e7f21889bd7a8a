"""Attributes: the JSON rule and typed equality."""

import json
import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from manifestry.model.attributes import (
    Reference,
    array_attributes_to_json,
    attributes_equal,
    attributes_to_json,
    value_to_json,
    values_equal,
)
from manifestry.testing.strategies import attribute_values, attributes


@given(attributes())
@settings(max_examples=examples(150), deadline=None)
def test_json_is_strict_and_exact(found):
    document, issues = attributes_to_json(found)
    assert not issues
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == list(found)


@given(attribute_values())
@settings(max_examples=examples(150), deadline=None)
def test_values_equal_themselves(value):
    assert values_equal(value, value)
    assert attributes_equal({"a": value, "b": 1}, {"b": 1, "a": value})
    assert not attributes_equal({"a": value}, {})


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        (np.float32(0.1), 0.10000000149011612),
        (np.float64(np.nan), "NaN"),
        (math.inf, "Infinity"),
        (np.float16(-np.inf), "-Infinity"),
        (np.longdouble(0.5), 0.5),
        (np.longdouble("inf"), "Infinity"),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (True, True),
        (np.False_, False),
        (None, None),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "café"),
        (np.bytes_(b"ab"), "ab"),
        (np.str_("ab"), "ab"),
        (1 + 2j, [1.0, 2.0]),
        (np.complex64(complex(1, math.nan)), [1.0, "NaN"]),
        (np.array([1, 2], ">i2"), [1, 2]),
        (np.array([[1.5, np.inf]], "f4"), [[1.5, "Infinity"]]),
        (np.array(3), 3),
        (np.empty((0,), "f4"), []),
        (np.array([b"a", b"\xff"]), ["a", "ÿ"]),
        (np.array(["a", "ß"], np.dtypes.StringDType()), ["a", "ß"]),
        (np.array([Reference("/x"), None], object), ["/x", None]),
        (np.array([(1, 0.5)], [("a", "i4"), ("b", "f4")]), [{"a": 1, "b": 0.5}]),
        (np.datetime64("2000-01-02T03:04:05"), "2000-01-02T03:04:05"),
        (np.timedelta64(3, "h"), "3 hours"),
        (Reference("/group/array"), "/group/array"),
        ({"a": [np.int8(1), {"b": ()}]}, {"a": [1, {"b": []}]}),
    ],
    ids=range(28),
)
def test_the_rule(value, json_value):
    found = value_to_json(value)
    assert found == json_value
    assert type(found) is type(json_value)


@pytest.mark.parametrize(
    "value",
    [
        "\ud800", {"\ud800": 1}, Reference("\udcff"), {1, 2}, object(), np.void(b"ab"), {1: "a", "1": "b"},
        [[object()]], np.array([object()], object),
    ],
    ids=range(9),
)  # fmt: skip
def test_what_has_no_form_is_reported(value):
    document, issues = attributes_to_json({"kept": 1, "bad": value}, "group/array")
    assert document == {"kept": 1}
    assert [(issue.path, issue.feature, issue.severity) for issue in issues] == [
        ("group/array@bad", "attribute without a JSON form", "reported")
    ]
    assert issues[0].message


@pytest.mark.skipif(np.finfo("g").max == np.finfo("f8").max, reason="this platform's long double is a float64")
@pytest.mark.parametrize("value", [np.longdouble(1) / 3, np.longdouble("1e4000"), np.array([np.longdouble(1) / 3])])
def test_long_doubles_are_never_rounded(value):
    with pytest.raises(ValueError, match="is not a float64"):
        value_to_json(value)


def test_names_that_are_no_text_are_reported():
    assert attributes_to_json({"\ud800": 1})[0] == {}


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (1, 1.0), (1, True), (np.int16(1), np.int32(1)), (np.float32(0.5), 0.5), ("a", b"a"), ([1], (1,)), (1, 2),
        (np.array([1]), np.array([1, 2])), (np.array([1]), np.array([[1]])), (np.array([1.0]), np.array([np.nan])),
        (np.array([1]), np.int64(1)), (Reference("/a"), Reference("/b")), (None, 0), ({"a": 1}, {"a": 2}), ({"a": 1}, {"b": 1}),
        (np.array([1, "a"], object), np.array([1, "b"], object)), (np.datetime64("NaT", "s"), np.datetime64(1, "s")),
        (np.array([(1, 2.0)], "i4,f4"), np.array([(1, 3.0)], "i4,f4")), (math.nan, 0.0),
    ],
    ids=range(19),
)  # fmt: skip
def test_values_that_differ(mine, other):
    assert not values_equal(mine, other)
    assert not values_equal(other, mine)


@pytest.mark.parametrize(
    "make",
    [
        lambda: math.nan,
        lambda: np.float32("nan"),
        lambda: np.array([1, np.nan]),
        lambda: np.datetime64("NaT", "s"),
        lambda: np.array(["NaT"], "m8[s]"),
        lambda: [math.nan],
        lambda: np.array([math.nan, "a"], object),
        lambda: np.array([(1, np.nan)], "i4,f4"),
        lambda: complex(math.nan, 1),
        lambda: {"a": np.array([np.nan])},
    ],
    ids=range(10),
)
def test_not_a_number_equals_itself(make):
    assert values_equal(make(), make())


PACKINGS = [
    np.float32(np.nan), np.float64(np.inf), -math.inf, np.array([np.nan], "f4"), np.array([1.0, 2.0]), np.complex64(1),
    np.longdouble("0.1"), "NaN", None, 10**400, np.float16(np.inf), [], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("broken", PACKINGS, ids=repr)
@pytest.mark.parametrize("name", ["scale_factor", "add_offset"])
def test_packing_that_nobody_can_compute_with_is_left_out_and_listed(name, broken):
    found, issues = array_attributes_to_json({name: broken, "units": "K"}, "a")
    assert found == {"units": "K"}
    assert [(i.path, i.severity) for i in issues] == [(f"a@{name}", "reported")]
    other = {"scale_factor": "add_offset", "add_offset": "scale_factor"}[name]
    found, issues = array_attributes_to_json({name: broken, other: 2.0}, "a")
    assert found == {}
    assert {i.path for i in issues} == {"a@scale_factor", "a@add_offset"}
    assert next(i.message for i in issues if i.path == f"a@{other}") == f"of no use without {name}"


def test_packing_that_is_a_number_stays():
    found, issues = array_attributes_to_json({"scale_factor": np.float32(0.5), "add_offset": np.array([3], "i8")})
    assert (found, issues) == ({"scale_factor": 0.5, "add_offset": 3}, [])
    found, issues = array_attributes_to_json({"scale_factor": "0.005", "add_offset": b"1"})
    assert (found, issues) == ({"scale_factor": "0.005", "add_offset": "1"}, [])  # as the source has it
    assert attributes_to_json({"scale_factor": math.nan})[0] == {"scale_factor": "NaN"}  # of a group: nobody computes
