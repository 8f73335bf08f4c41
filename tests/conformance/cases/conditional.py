"""Conditional requests, and what a 304 changes (RFC 9110 section 13; RFC 9111 sections 3.2 and 4.3)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, case
from tests.conformance.model import Case, Step, at

SHORT = ("Cache-Control", "max-age=1")
OLD = "Wed, 01 Jan 2020 00:00:00 GMT"


def _etag_answers() -> list[Case]:
    here = "9110 13.1.2"
    rows = [
        ("strong", '"abc"', '"abc"', True, "the same tag"),
        ("weak", 'W/"abc"', 'W/"abc"', True, "the same weak tag"),
        ("weak-stored", 'W/"abc"', '"abc"', True, "weak comparison, the stored tag is weak"),
        ("weak-sent", '"abc"', 'W/"abc"', True, "weak comparison, the sent tag is weak"),
        ("first", '"abc"', '"abc", "def"', True, "the first of a list"),
        ("second", '"abc"', '"x", "abc", "y"', True, "the second of a list"),
        ("last", '"abc"', '"x", "y", "abc"', True, "the last of a list"),
        ("tight", '"abc"', '"x","abc"', True, "a list without spaces"),
        ("star", '"abc"', "*", True, "any tag"),
        ("comma", '"a,b"', '"a,b"', True, "a comma inside the tag"),
        ("comma-list", '"a,b"', '"x", "a,b"', True, "a comma inside a listed tag"),
        ("obs-text", '"abc\xe9"', '"abc\xe9"', True, "obs-text in the tag"),
        ("differs", '"abc"', '"abd"', False, "another tag"),
        ("case", '"abc"', '"ABC"', False, "tags are compared with case"),
        ("lower-w", '"abc"', 'w/"abc"', False, "w/ is no weakness"),
        ("no-slash", '"abc"', 'W"abc"', False, "W without a slash"),
        ("backslash", '"abc"', 'W\\"abc"', False, "W with a backslash"),
        ("part", '"abc"', '"ab"', False, "a part of the tag"),
        ("inside", '"abc"', '"x\\"abc"', False, "a tag inside another"),
    ]
    return [
        case(
            f"etag-{name}",
            here,
            "optimal" if same else "required",
            title,
            Step(answer=[HOUR, ("ETag", stored)]),
            Step(
                send=[("If-None-Match", sent)],
                expect="cached",
                expect_status=304 if same else 200,
                see=[("ETag", stored)],
            ),
        )
        for name, stored, sent, same, title in rows
    ]


_DATE_ANSWERS_HERE = "9110 13.1.3"
_DATE_ANSWERS_STORED = [HOUR, ("Last-Modified", OLD)]


def _date_answers_since(
    id: str, level: str, title: str, value: object, status: int, first: list = _DATE_ANSWERS_STORED
) -> Case:
    return case(
        f"lm-{id}",
        _DATE_ANSWERS_HERE,
        level,
        title,
        Step(answer=first),
        Step(send=[("If-Modified-Since", value)], expect="cached", expect_status=status),
    )


_DATE_ANSWERS: list[Case] = [
    _date_answers_since("same", "optimal", "the same date", OLD, 304),
    _date_answers_since("later", "optimal", "a later date", at(-100), 304),
    _date_answers_since("earlier", "required", "an earlier date", "Tue, 01 Jan 2019 00:00:00 GMT", 200),
    _date_answers_since("rfc850", "optimal", "an RFC 850 date", "Wednesday, 01-Jan-20 00:00:00 GMT", 304),
    _date_answers_since("asctime", "optimal", "an asctime date", "Wed Jan  1 00:00:00 2020", 304),
    _date_answers_since("invalid", "required", "an invalid date is ignored", "yesterday", 200),
    _date_answers_since("none-later", "optimal", "no Last-Modified: by Date", at(100), 304, [HOUR]),
    _date_answers_since("none-earlier", "required", "no Last-Modified: an earlier date", OLD, 200, [HOUR]),
    case(
        "cond-precedence",
        "9110 13.2.2",
        "required",
        "If-None-Match goes before If-Modified-Since",
        Step(answer=[HOUR, ("ETag", '"abc"'), ("Last-Modified", OLD)]),
        Step(
            send=[("If-None-Match", '"other"'), ("If-Modified-Since", at(-10))],
            expect="cached",
            expect_status=200,
        ),
    ),
    case(
        "cond-precedence-match",
        "9110 13.2.2",
        "optimal",
        "a matching tag goes before an earlier date",
        Step(answer=[HOUR, ("ETag", '"abc"'), ("Last-Modified", OLD)]),
        Step(
            send=[("If-None-Match", '"abc"'), ("If-Modified-Since", "Tue, 01 Jan 2019 00:00:00 GMT")],
            expect="cached",
            expect_status=304,
        ),
    ),
    case(
        "cond-404",
        "9110 13.2.1",
        "required",
        "conditions do not apply to a stored 404",
        Step(answer=[HOUR, ("ETag", '"abc"')], status=404),
        Step(send=[("If-None-Match", '"abc"')], expect="cached", expect_status=404),
    ),
]


def _the_304() -> list[Case]:
    carried = [
        ("Cache-Control", "max-age=3600"),
        ("Content-Location", "/x"),
        ("Date", at(-5)),
        ("ETag", '"abc"'),
        ("Expires", at(7200)),
        ("Vary", "Accept-Foo"),
    ]
    cases = [
        case(
            f"304-has-{name.lower()}",
            "9110 15.4.5",
            "required",
            f"a 304 carries {name}",
            Step(answer=[*{**dict([HOUR, ("ETag", '"abc"')]), name: value}.items()]),
            Step(
                send=[("If-None-Match", '"abc"')],
                expect="cached",
                expect_status=304,
                check=lambda answer, name=name: "" if answer.get(name) else f"no {name}",
            ),
        )
        for name, value in carried
    ]
    cases.append(
        case(
            "304-no-body",
            "9110 15.4.5",
            "required",
            "a 304 has no body",
            Step(answer=[HOUR, ("ETag", '"abc"')]),
            Step(send=[("If-None-Match", '"abc"')], expect="cached", expect_status=304, expect_body=b""),
        )
    )
    return cases


_VALIDATING_HERE = "9111 4.3.1"
_VALIDATING_ETAG, _VALIDATING_WEAK, _VALIDATING_LM = (
    ("ETag", '"abc"'),
    ("ETag", 'W/"abc"'),
    ("Last-Modified", OLD),
)


def _validating_validated(
    id: str, title: str, stored: list, validator: str, value: str, level: str = "optimal"
) -> Case:
    return case(
        f"validate-{id}",
        _VALIDATING_HERE,
        level,
        title,
        Step(answer=[SHORT, *stored], wait=2.2),
        Step(answer=[HOUR, *stored], expect="validated", sent=[(validator, value)], expect_status=200),
        Step(expect="cached"),
    )


_VALIDATING: list[Case] = [
    _validating_validated(
        "etag", "a stale response is validated by its ETag", [_VALIDATING_ETAG], "If-None-Match", '"abc"'
    ),
    _validating_validated("weak", "by a weak ETag", [_VALIDATING_WEAK], "If-None-Match", 'W/"abc"'),
    _validating_validated("lm", "by Last-Modified", [_VALIDATING_LM], "If-Modified-Since", OLD),
    _validating_validated(
        "both-etag", "by both: the ETag", [_VALIDATING_ETAG, _VALIDATING_LM], "If-None-Match", '"abc"'
    ),
    _validating_validated(
        "both-lm", "by both: the date", [_VALIDATING_ETAG, _VALIDATING_LM], "If-Modified-Since", OLD
    ),
    _validating_validated(
        "unquoted", "an unquoted ETag is sent as it came", [("ETag", "abc")], "If-None-Match", "abc"
    ),
    case(
        "validate-changed",
        "9111 4.3.3",
        "required",
        "a 200 to a validation replaces the stored response",
        Step(answer=[SHORT, _VALIDATING_ETAG], wait=2.2),
        Step(answer=[HOUR, ("ETag", '"def"')], expect="origin", validator="if-none-match"),
        Step(expect="cached", from_step=2),
    ),
    case(
        "validate-client",
        "9111 4.3.2",
        "optimal",
        "a client's own condition is answered after a validation",
        Step(answer=[SHORT, _VALIDATING_ETAG], wait=2.2),
        Step(
            send=[("If-None-Match", '"abc"')],
            answer=[HOUR, _VALIDATING_ETAG],
            expect="validated",
            expect_status=304,
        ),
    ),
    case(
        "validate-client-other",
        "9111 4.3.2",
        "required",
        "a client with another copy gets the stored body",
        Step(answer=[SHORT, _VALIDATING_ETAG], wait=2.2),
        Step(
            send=[("If-None-Match", '"zzz"')],
            answer=[HOUR, _VALIDATING_ETAG],
            expect="validated",
            expect_status=200,
            expect_body=b"validate-client-other step 1",
        ),
    ),
    case(
        "validate-500",
        "9111 4.3.3",
        "required",
        "an error to a validation does not replace the stored one",
        Step(answer=[SHORT, _VALIDATING_ETAG], wait=2.2),
        Step(status=500, answer=[], expect=""),
        Step(answer=[HOUR, _VALIDATING_ETAG], expect="validated"),
    ),
    case(
        "validate-foreign",
        "9111 4.3.1",
        "required",
        "a client's condition on a miss reaches the origin",
        Step(
            send=[("If-None-Match", '"abc"')],
            status=304,
            answer=[HOUR, _VALIDATING_ETAG],
            expect_status=304,
            sent=[("If-None-Match", '"abc"')],
        ),
        Step(answer=[HOUR, _VALIDATING_ETAG], expect="origin"),
    ),
    case(
        "validate-if-match",
        "9111 4.3.2",
        "required",
        "If-Match is for the origin",
        Step(answer=[HOUR, _VALIDATING_ETAG]),
        Step(
            send=[("If-Match", '"abc"')],
            answer=[HOUR, _VALIDATING_ETAG],
            expect="origin",
            sent=[("If-Match", '"abc"')],
        ),
    ),
    case(
        "validate-unmodified",
        "9111 4.3.2",
        "required",
        "If-Unmodified-Since is for the origin",
        Step(answer=[HOUR, _VALIDATING_LM]),
        Step(send=[("If-Unmodified-Since", OLD)], status=412, expect="origin", expect_status=412),
    ),
    case(
        "validate-vary",
        "9111 4.3.1",
        "optimal",
        "the validator of the selected variant is sent",
        Step(send=[("Foo", "1")], answer=[SHORT, ("ETag", '"one"'), ("Vary", "Foo")]),
        Step(send=[("Foo", "2")], answer=[SHORT, ("ETag", '"two"'), ("Vary", "Foo")], wait=2.2),
        Step(
            send=[("Foo", "1")],
            answer=[HOUR, ("ETag", '"one"'), ("Vary", "Foo")],
            expect="validated",
            check=lambda answer: "" if b"step 1" in answer.body else "the wrong variant",
        ),
    ),
]


UPDATED = [
    ("Test-Field", "one", "two"),
    ("X-Test", "one", "two"),
    ("Content-Foo", "one", "two"),
    ("Content-Location", "/a", "/b"),
    ("Content-Encoding", "foo", "bar"),
    ("Content-Language", "de", "fr"),
    ("Content-MD5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g=="),
    ("Content-Range", "one", "two"),
    ("Content-Security-Policy", "default-src 'self'", "default-src 'none'"),
    ("Content-Type", "text/plain", "text/plain;charset=utf-8"),
    ("Content-Disposition", "inline", "attachment"),
    ("Clear-Site-Data", "cache", "cookies"),
    ("Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Sat, 02 Jan 2038 01:01:01 GMT"),
    ("Link", "<a>", "<b>"),
    ("Public-Key-Pins", "one", "two"),
    ("Set-Cookie", "a=b", "a=c"),
    ("Set-Cookie2", "a=b", "a=c"),
    ("X-Frame-Options", "deny", "sameorigin"),
    ("X-XSS-Protection", "1", "0"),
]


# Section 3.2: a 304 updates every stored field it carries, and leaves the others alone.
_UPDATING = []
for _UPDATING_KIND, _UPDATING_VALIDATOR in (("etag", ("ETag", '"abc"')), ("lm", ("Last-Modified", OLD))):
    for _UPDATING_NAME, _UPDATING_BEFORE, _UPDATING_AFTER in UPDATED:
        _UPDATING_KEY = f"{_UPDATING_KIND}-{_UPDATING_NAME.lower()}"
        _UPDATING_FIRST = Step(
            answer=[SHORT, _UPDATING_VALIDATOR, (_UPDATING_NAME, _UPDATING_BEFORE)], wait=2.2
        )
        _UPDATING += [
            case(
                f"304-keeps-{_UPDATING_KEY}",
                "9111 3.2",
                "required",
                f"a 304 without {_UPDATING_NAME} leaves it",
                _UPDATING_FIRST,
                Step(
                    answer=[HOUR, _UPDATING_VALIDATOR],
                    expect="validated",
                    see=[(_UPDATING_NAME, _UPDATING_BEFORE)],
                ),
            ),
            case(
                f"304-sends-{_UPDATING_KEY}",
                "9111 3.2",
                "required",
                f"{_UPDATING_NAME} of a 304 is sent",
                _UPDATING_FIRST,
                Step(
                    answer=[HOUR, _UPDATING_VALIDATOR, (_UPDATING_NAME, _UPDATING_AFTER)],
                    expect="validated",
                    see=[(_UPDATING_NAME, _UPDATING_AFTER)],
                ),
            ),
            case(
                f"304-stores-{_UPDATING_KEY}",
                "9111 3.2",
                "required",
                f"{_UPDATING_NAME} of a 304 is stored",
                _UPDATING_FIRST,
                Step(
                    answer=[HOUR, _UPDATING_VALIDATOR, (_UPDATING_NAME, _UPDATING_AFTER)], expect="validated"
                ),
                Step(expect="cached", see=[(_UPDATING_NAME, _UPDATING_AFTER)]),
            ),
        ]
_UPDATING_ETAG = ("ETag", '"abc"')
_UPDATING += [
    case(
        "304-length",
        "9111 3.2",
        "required",
        "Content-Length of a 304 is not taken over",
        Step(answer=[SHORT, _UPDATING_ETAG], body=b"12345", wait=2.2),
        Step(
            answer=[HOUR, _UPDATING_ETAG, ("Content-Length", "3")], expect="validated", expect_body=b"12345"
        ),
        Step(expect="cached", expect_body=b"12345", see=[("Content-Length", "5")]),
    ),
    case(
        "304-cc",
        "9111 3.2",
        "required",
        "Cache-Control of a 304 gives the new lifetime",
        Step(answer=[SHORT, _UPDATING_ETAG], wait=2.2),
        Step(answer=[HOUR, _UPDATING_ETAG], expect="validated", see=[HOUR]),
        Step(expect="cached", see=[HOUR]),
    ),
    case(
        "304-age",
        "9111 4.2.3",
        "required",
        "a 304 resets the age",
        Step(answer=[("Cache-Control", "max-age=4"), _UPDATING_ETAG], wait=4.5),
        Step(answer=[("Cache-Control", "max-age=4"), _UPDATING_ETAG], expect="validated"),
        Step(expect="cached", check=lambda answer: "" if int(answer.get("age") or 99) < 3 else "too old"),
    ),
    case(
        "304-connection",
        "9111 3.1",
        "required",
        "hop-by-hop fields of a 304 are not stored",
        Step(answer=[SHORT, _UPDATING_ETAG], wait=2.2),
        Step(
            answer=[HOUR, _UPDATING_ETAG, ("Proxy-Authenticate", "x"), ("Connection", "foo"), ("Foo", "1")],
            expect="validated",
        ),
        Step(expect="cached", unseen=["foo", "proxy-authenticate"]),
    ),
    case(
        "304-lm-etag",
        "9111 4.3.4",
        "required",
        "a 304 with the same strong date updates the tag",
        Step(answer=[SHORT, _UPDATING_ETAG, ("Last-Modified", OLD)], wait=2.2),
        Step(
            answer=[HOUR, ("ETag", '"new"'), ("Last-Modified", OLD)],
            expect="validated",
            see=[("ETag", '"new"')],
            expect_status=200,
        ),
        Step(expect="cached", see=[("ETag", '"new"')]),
    ),
    case(
        "304-other-etag",
        "9111 4.3.4",
        "required",
        "a 304 about another tag frees nothing",
        Step(answer=[SHORT, _UPDATING_ETAG], wait=2.2),
        Step(
            answer=[HOUR, ("ETag", '"other"')],
            expect="",
            check=lambda answer: (
                ""
                if "max-age=3600" not in (answer.get("cache-control") or "") or b"step 1" not in answer.body
                else "the wrong response was freshened"
            ),
        ),
    ),
]


CASES = [*_etag_answers(), *_DATE_ANSWERS, *_the_304(), *_VALIDATING, *_UPDATING]
