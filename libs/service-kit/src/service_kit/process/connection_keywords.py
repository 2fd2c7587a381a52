"""The words of PostgreSQL connection strings: ADO.NET's (Npgsql's) keywords and libpq's URL parameters.

Every word of Npgsql is known. The service follows a word, or it decides the matter itself: then the word has
no effect, and the service says so when it starts. No error repeats a word of the text, because an unknown
keyword may be the middle of a password.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

PARAMETERS: Final = {
    "host", "port", "database", "username", "password", "passfile", "sslmode", "sslrootcert", "sslcert",
    "sslkey", "sslpassword", "sslcrl", "sslnegotiation", "ssl_min_protocol_version",
    "ssl_max_protocol_version", "krbsrvname", "gsslib", "search_path", "options",
}  # fmt: skip
"""The words that a connection follows, by libpq's names (libpq says `user` for `username` and `dbname` for
`database`)."""

# Keywords in lower case without spaces and underscores, and the parameter that each one means.
_KEYWORDS: Final = {
    "server": "host",
    "db": "database",
    "dbname": "database",
    "initialcatalog": "database",
    "user": "username",
    "userid": "username",
    "uid": "username",
    "pwd": "password",
    "psw": "password",
    "rootcertificate": "sslrootcert",
    "sslcertificate": "sslcert",
    "kerberosservicename": "krbsrvname",
} | {name.replace("_", ""): name for name in PARAMETERS}

# fmt: off
_WITHOUT_EFFECT: Final = frozenset([
    "applicationname", "fallbackapplicationname", "arraynullabilitymode", "autoprepareminusages",
    "cancellationtimeout", "channelbinding", "checkcertificaterevocation", "clientencoding",
    "commandtimeout", "connecttimeout", "connectionidlelifetime", "connectionlifetime",
    "connectionpruninginterval", "connectiontimeout", "convertinfinitydatetime", "encoding", "enlist",
    "entityadmindatabase", "entitytemplatedatabase", "gssdelegation", "gssencmode", "gssencryptionmode",
    "hostrecheckseconds", "includeerrordetail", "includefailedbatchedcommand", "includerealm",
    "integratedsecurity", "internalcommandtimeout", "keepalive", "keepalives", "keepalivescount",
    "keepalivesidle", "keepalivesinterval", "loadbalancehosts", "loadbalancetimeout",
    "loadtablecomposites", "logparameters", "maxautoprepare", "maximumpoolsize", "maxpoolsize",
    "minimumpoolsize", "minpoolsize", "multiplexing", "noresetonclose", "persistsecurityinfo",
    "pgbouncer", "pooling", "poolmode", "poolsize", "preparethreshold", "readbuffersize",
    "replicationmode", "requireauth", "servercompatibilitymode", "socketreceivebuffersize",
    "socketsendbuffersize", "sslsni", "targetsessionattributes", "targetsessionattrs", "tcpkeepalive",
    "tcpkeepaliveinterval", "tcpkeepalivetime", "tcpusertimeout", "timeout", "timezone",
    "trustservercertificate", "useperfcounters", "usesslstream", "writebuffersize",
    "writecoalescingbufferthresholdbytes",
])
# fmt: on
_PAIR: Final = re.compile(
    r"""\s*(?P<key>(?:[^=;]|==)+?)\s*=\s*
        (?: "(?P<double>(?:[^"]|"")*)" | '(?P<single>(?:[^']|'')*)' | (?P<plain>[^;]*?) )
        \s*(?:;|$)""",
    re.VERBOSE,
)


def pairs_of(text: str) -> list[tuple[str, str]]:
    """Split `Key=Value;...`. Raise ValueError if the text has another form."""
    pairs: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        if text[position] in "; \t":
            position += 1
            continue
        match = _PAIR.match(text, position)
        if match is None:
            raise ValueError(
                "is neither a URL nor `Key=Value` pairs separated by `;` (quote a value with a `;`)"
            )
        pairs.append((match["key"].replace("==", "="), _unquoted(match)))
        position = match.end()
    return pairs


def understood(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the values by the names of PARAMETERS, and the words that have no effect.

    Raise ValueError if a word is unknown or is given twice, or if a TLS mode does not exist.
    """
    values: dict[str, str] = {}
    without_effect: list[str] = []
    last = "the beginning"
    for key, value in pairs:
        word = re.sub(r"[\s_]", "", key).lower()
        if word in _WITHOUT_EFFECT:
            without_effect.append(word)
        elif (name := _KEYWORDS.get(word)) is None:
            raise ValueError(f"has an unknown keyword after {last}: {_advice(word)}")
        elif name in values:
            raise ValueError(f"gives {name} twice: keep one")
        else:
            values[name] = value
        last = f"`{word}`"
    if "sslmode" in values:
        values["sslmode"] = _ssl_mode(values["sslmode"])
    return values, tuple(without_effect)


def _ssl_mode(text: str) -> str:
    word = re.sub(r"[\s_-]", "", text).lower()
    for mode in SSL_MODES:
        if word == mode.replace("-", ""):
            return mode
    raise ValueError(f"has an unknown SSL mode: use one of {', '.join(SSL_MODES)}")


def _advice(word: str) -> str:
    """Suggest a known word; never repeat a word of the text."""
    near = difflib.get_close_matches(word, [*_KEYWORDS, *_WITHOUT_EFFECT], n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return (
        f"{hint}Known are Host, Port, Database, Username, Password, SSL Mode, Root Certificate and Npgsql's"
    )


def _unquoted(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return match["double"].replace('""', '"')
    if match["single"] is not None:
        return match["single"].replace("''", "'")
    return match["plain"].strip()


def require_no_second_pair(values: Mapping[str, str]) -> None:
    """Raise ValueError if a value other than the password contains a `=`: then a `;` may be missing."""
    for name, value in values.items():
        if "=" in value and name not in ("password", "sslpassword", "options"):
            raise ValueError(f"has a `=` in the value of {name}: is the `;` before the next keyword missing?")
