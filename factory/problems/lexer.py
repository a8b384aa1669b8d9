r"""Problem texts as tokens that keep their meaning: numbers, signs, relations, brackets and LaTeX commands beside words.

    tokens("What is $1,000 \\le x$?")                  → ["what", "is", "1000", "≤", "x"]
    signature(tokens("Tom has 3 red apples, not 5."))  → ("3", "red", "not", "5")

Ignored: sentence punctuation, the delimiters of formulas, quotation marks, hyphens in words, upper case of words outside formulas and
quotations. A program (indented lines, a fence, `def …`) keeps every sign, its strings and its indentation. Scripts without spaces (Chinese,
Japanese, Thai …) give a token a character. Digits of all scripts are one, as are spellings of one sign (`<=`, `\le`, `≤`).
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

_NO_SPACES = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_MARKS = "".join(chr(code) for code in range(0x300, 0xAC00) if unicodedata.category(chr(code)).startswith("M"))  # vowels in Hindi
_AB = r"[^\W\d_]{2}"  # two letters: a word, no variable
_NUMBER = r"\d+(?:\.\d+)?|(?<![\w.])\.\d+"


def _prose(letter: str, further: str) -> re.Pattern[str]:
    """`letter`: of words in scripts with spaces, `further`: what else goes on with a word."""
    return re.compile(
        rf"{letter}(?:{letter}{further})*(?:'{letter}{{1,2}}(?!{letter}))?|{_NUMBER}|[{_NO_SPACES}]"
        r"|\\[A-Za-z]+|\\\\|_+|\.\.+"
        r"|(?!(?:(?<=[a-z]{2})|(?<=[a-z]{2} ))-\s?[^\W\d_][a-z]|(?:\A|(?<=[\dA-Za-z]))-[^\W\d_][a-z]\w*(?![\w(]))-"  # a hyphen is no minus
        rf"|(?<!{_AB})[,;:](?!\s*{_AB})|(?<!{_AB})(?<!{_AB}[.,;:!?])\n(?!\s*{_AB})"  # a ratio, a pair, a row of a matrix
        rf"|(?<!{_AB})(?<=[\w)\]}}])!|!(?=[\w(=\[])|(?<![\w)\]}}\"'$%.?!])\?(?=\s*\S)"  # 3! and 3 + ? = 5
        rf"|(?<!{_AB})(?<=[\w)])'(?!{letter})|(?<=\d)\""  # f' and 5"
        r"|[^\w\s.,;:!?'\"`\-。、؟،؛।¿¡•„«»‹›]"
    )


_LETTER = rf"[^\W\d_{_NO_SPACES}]"
_PROSE, _ASCII_PROSE = _prose(_LETTER, f"|[{_MARKS}]"), _prose("[A-Za-z]", "")
_FORMULA = re.compile(rf"\\[A-Za-z]+|\\\\|{_NUMBER}|[{_NO_SPACES}]|{_LETTER}+|\S")
_PROGRAM = re.compile(r"\n[ \t]*|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|\d+(?:\.\d+)?|\w+|\S")
_IS_PROGRAM = re.compile(
    r"```|^(?:def|class|import|from|return|assert|print|#include)\b.*[(:;>]|^(?:for|while|if)\b.*:$|\n(?:\t| {2,})[ \t]*\S", re.MULTILINE
)
_REGIONS = re.compile(
    r"(\$\$[^$]{1,2000}\$\$|(?<!\\)\$(?=[^\s$])[^$\n]{0,400}(?<=[^\s\\])\$(?!\d)|\\\([^$]{0,400}?\\\)|\\\[[^$]{0,2000}?\\\]"
    r"|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`|(?<!\w)'[^'\n]{0,200}'(?!\w))"
)  # formulas and quotations
_DELIMITERS = re.compile(r"^(?:\$\$?|\\[(\[])|(?:\$\$?|\\[)\]])$")
LONG = 4  # letters: a word, not the name of a segment or a triangle
_LONG_WORD = re.compile(rf"{_LETTER}{{{LONG}}}")
_ODD_SPACES = re.compile(r"\s\s|^.\s|\s.$")
_COMMANDS = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥", "geq": "≥",
    "geqslant": "≥", "ne": "≠", "neq": "≠", "lt": "<", "gt": ">", "times": "×", "cdot": "·", "div": "÷", "cup": "∪", "cap": "∩", "in": "∈",
    "pm": "±", "sqrt": "√", "pi": "π", "infty": "∞", "ldots": "...", "dots": "...", "cdots": "...", "to": "→", "rightarrow": "→",
    "circ": "°",
    "left": "", "right": "", "big": "", "Big": "", "bigg": "", "Bigg": "", "bigl": "", "bigr": "", "displaystyle": "", "limits": "",
    "quad": "", "qquad": "", "text": "", "textbf": "", "textit": "", "textrm": "", "mathrm": "", "operatorname": "",
}  # fmt: skip
_COMMAND = re.compile(r"\\\\|\\([A-Za-z]+)|\\[,;:!> ]|\\([{}%$_&#])")
_DEGREES = re.compile(r"\^\s?\{?\s?\\circ(?![A-Za-z])\s?\}?")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d])")
_THIN_SPACE = re.compile(r"(?<=\d)\\,(?=\d{3}(?!\d))")
_RAISED = re.compile("[⁰¹²³⁴-ⁿⁱᴬ-ᵡ]+")
_LOWERED = re.compile("[₀-ₜᵢ-ᵪ]+")
_FRACTION = re.compile("[¼-¾⅐-⅟↉]")
_INVISIBLE: dict[str, None] = dict.fromkeys(map(chr, [*range(0x200B, 0x2010), 0xAD, 0x2060, 0xFEFF]))
_LINE_WRAP = re.compile(rf"(?:(?<={_AB})|(?<={_AB}[.,;:!?]))\n|\n(?={_AB})")
_SPACES = re.compile(r"[^\S\n]{2,}|[^\S \n]")
_CAPITALS = re.compile(r"[^\W\d_a-z](?<!\\\w)[^\W\d_]*")
_OPERATOR = re.compile(r" ([-+*/=<>^×÷·≤≥≠]) (?=\S)")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_NO_WIDTH = str.maketrans(_INVISIBLE)
_ONE_SIGN = str.maketrans({
    "’": "'", "‘": "'", "′": "'", "“": '"', "”": '"', "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "⩽": "≤", "⩾": "≥",
    "⁄": "/", "∕": "/", "∗": "*", "⋅": "·", "٫": ".", "٬": ",", "⟨": "<", "⟩": ">",
} | _INVISIBLE)  # fmt: skip


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER_WORDS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen half third thirds quarter quarters first "
    "second fourth fifth sixth seventh eighth ninth tenth once twice thrice double triple"
)
TURNING = _words(
    "not no none never nor neither without except unless cannot only and or if all any some every each both either exactly true false "
    "more less fewer most least greater smaller larger bigger higher lower longer shorter older younger maximum minimum max min largest "
    "smallest greatest even odd positive negative increase increased increases decrease decreased decreases plus minus times sum "
    "difference product quotient square cube root before after above below over under left right last up down north south east west "
    "union intersection 不 没 非 无 未 加 减 乘 除 大 小 多 少 左 右 前 后"
)  # that turn a question into another one
ARTICLES = ("a", "A", "I")  # before a word; elsewhere variables


def is_program(text: str) -> bool:
    """Whether white space, quotation marks and capitals mean something everywhere in it."""
    return _IS_PROGRAM.search(text) is not None


def tokens(text: str) -> list[str]:
    """Tokens in order: what would give another problem when changed, and words."""
    return _program(text) if is_program(text) else prose_tokens(text)


def _program(text: str) -> list[str]:
    lines = (line.rstrip() for line in unicodedata.normalize("NFC", text).splitlines())
    return _PROGRAM.findall("\n" + "\n".join(line for line in lines if line))


def prose_tokens(text: str) -> list[str]:
    """The same with white space of no meaning: what `decontaminate` compares, where a program may stand in any wrapping."""
    found: list[str] = []
    text = _folded(text)
    shouted = _is_shouted(text)
    prose = _ASCII_PROSE if text.isascii() else _PROSE
    for number, piece in enumerate(_REGIONS.split(text)):
        if number % 2 and piece[0] in "$\\":
            found += _FORMULA.findall(_latex(_DELIMITERS.sub(" ", piece)))
        elif number % 2:
            found += prose.findall(_latex(_visible(piece)))
        elif piece:
            found += prose.findall(_latex(_small(piece, shouted)))
    return found


def _is_shouted(text: str) -> bool:
    return text == text.upper() and _LONG_WORD.search(text) is not None


def _small(text: str, shouted: bool) -> str:
    """Words in small letters; variables, commands and names of segments (`AB`) as they are."""
    return _CAPITALS.sub(lambda found: found[0] if _is_name(found[0]) and not shouted else found[0].lower(), text)


def _is_name(word: str) -> bool:
    return len(word) < LONG and word.isupper()


def _folded(text: str) -> str:
    """One spelling of characters, relations and thousands; single line breaks."""
    if not text.isascii():
        text = _RAISED.sub(lambda found: "^" + found[0], _LOWERED.sub(lambda found: "_" + found[0], text))
        text = unicodedata.normalize("NFKC", _FRACTION.sub(r" \g<0>", text)).translate(_ONE_SIGN)
        text = _OTHER_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), text)
    text = text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠").replace("{,}", ",")
    text = _THIN_SPACE.sub("", text) if "\\," in text else text
    if "\n" in text or "\r" in text:
        text = "\n".join(line for line in map(str.strip, text.splitlines()) if line)
    return _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text) if "," in text else text


def _latex(text: str) -> str:
    if "\\" not in text:
        return text
    return _COMMAND.sub(_command, _DEGREES.sub("° ", text))


def _command(found: re.Match[str]) -> str:
    if name := found[1]:
        sign = _COMMANDS.get(name)
        return found[0] if sign is None else f"{sign} " if sign else ""
    return found[2] or ("\\\\" if found[0] == "\\\\" else " ")


def _visible(quotation: str) -> str:
    """White space that a quotation shows: at its ends, or several in a row."""
    return quotation.replace(" ", "␣") if _ODD_SPACES.search(quotation) else quotation


@lru_cache(maxsize=1 << 17)
def is_number(token: str) -> bool:
    """In digits, in English words, or a character for one (`三`)."""
    if token[0].isdigit() or (token[0] == "." and token[-1].isdigit()) or token in NUMBER_WORDS:
        return True
    return len(token) == 1 and unicodedata.numeric(token, None) is not None


@lru_cache(maxsize=1 << 17)
def _decides(token: str) -> bool:
    """Numbers, signs, variables and turning words, in contrast to other words."""
    if is_number(token) or token in TURNING or token.endswith("n't") or not token[0].isalpha():
        return unicodedata.category(token[0])[0] != "M"
    return len(token) == 1 and token < "\u0e00"


def signature(found: Sequence[str]) -> tuple[str, ...]:
    """What two texts must have in common to be one problem: every token that decides, and the word after each number (a unit), in order."""
    kept, after_number = [], False
    for token, following in itertools.zip_longest(found, found[1:], fillvalue=""):
        article = token in ARTICLES and following[:1].isalpha() and len(following) > 1
        if after_number or (_decides(token) and not article):
            kept.append(token)
        after_number = is_number(token)
    return tuple(kept)


def masked(found: Iterable[str]) -> list[str]:
    """The tokens without the values of numbers."""
    return ["0" if token[0].isdigit() or (token[0] == "." and token[-1].isdigit()) else token for token in found]


def exact_key(text: str) -> str:
    """Equal for texts that differ only in white space, in capitals of words or in the last full stop or question mark, where those mean
    nothing. In a program only the ends of lines mean nothing."""
    if is_program(text):
        return "\n".join(line.rstrip() for line in unicodedata.normalize("NFC", text).splitlines())
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_NO_WIDTH)
    if len(lines := [line for line in map(str.strip, text.splitlines()) if line]) > 1:
        lines = [_LINE_WRAP.sub(" ", "\n".join(lines))]
    pieces, shouted = _REGIONS.split("".join(lines)), _is_shouted(text)
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            pieces[number] = _small(_SPACES.sub(" ", piece), shouted)
        elif piece[0] in "$\\":
            pieces[number] = _SPACES.sub(" ", piece)
    text = _OPERATOR.sub(r"\1", "".join(pieces))
    return text[:-1].rstrip() if text.endswith((".", "?")) and not text[:-1].rstrip().endswith((".", "?")) else text
