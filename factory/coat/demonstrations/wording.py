"""The words of critics: how a step is named, how it is called wrong or right, how a hint begins; and a text without its markdown.

    step_in("the third step is wrong", 5)       → 3
    called("Step 2 is incorrect: 4 is added")   → False
    mixed("they add 4, which is right, instead of 3")   → True
    plain("**In Step 3:** use `x`")             → "In Step 3: use x"

Every repetition in these expressions is bounded or linear.
"""

import re

_CARDINALS = {
    word: n
    for n, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], start=1)
}
_ORDINALS = {
    word: n
    for n, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"], start=1
    )
}
LOOKED_AT = 500  # characters behind a claim in which another step is looked for
_COUNT = r"\d{1,6}(?![\w%]|\.\d)|(?:" + "|".join(_CARDINALS) + r")\b(?! by\b)"
_RANK = r"(?:" + "|".join(_ORDINALS) + r"|last|final|\d{1,3}(?:st|nd|rd|th))"
STEP = (
    rf"(?:\bsteps?(?:[ -](?:number|no\.?|num\.?))?[\s:*_]{{0,4}}\\?[#(\[]?\s?(?:{_COUNT})[)\]]?"
    rf"|\b{_RANK} step\b(?! (?:that|which|where|with|to|in|of|is step)\b))"
)
_NUMBER_OF_STEP = re.compile(rf"(?P<rank>{_RANK}) step|(?P<count>{_COUNT})", re.IGNORECASE)
_FAULT = r"(?:wrong|incorrect|erroneous|mistaken|faulty|flawed|false|invalid|bad|error|mistake|problem|issue|flaw)"
_GAP = r"(?:(?!\bnot\b|n't|propagat|carr[iy]|lead|\bled\b|affect|result|caus|continu|repeat)[^.:;!?\n])"
_BARE = rf"(?P<bare>{_COUNT})"

LABEL = re.compile(  # First Error Step: 3
    rf"(?:[\w ]{{0,20}}\b)?(?:first {_FAULT}(?: step)?|{_FAULT} step|step)(?: (?:number|index|no\.?|is|found|at|in)){{0,2}}"
    r"\s?[:=]\s?(?P<value>.*)",
    re.IGNORECASE,
)
NAMED_FIRST = tuple(  # The first wrong step is Step 3.
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\bfirst (?:\w{{1,15}} )?{_FAULT}s?(?: step)?\b{_GAP}{{0,60}}?(?P<step>{STEP})",
        rf"\bfirst (?:\w{{1,15}} )?{_FAULT} step(?: number)?(?: is| was|:)? (?:number )?{_BARE}",
        rf"\bfirst step (?:that|which|where|with|to)\b{_GAP}{{1,60}}?(?:(?P<step>{STEP})|\bis (?:number )?{_BARE})",
        rf"(?P<step>{STEP}){_GAP}{{0,30}}?\b(?:is|was|contains|has|holds|makes|marks)\b(?: where)? the (?:very )?first "
        rf"(?:\w{{1,15}} )?(?:{_FAULT}|one that is wrong|step (?:that|where|with))",
        rf"\b(?:goes|went|go|gone|turns) (?:first )?(?:wrong|astray|off){_GAP}{{0,20}}?\b(?:in|at|from|with) (?:the )?(?P<step>{STEP})",
    )
)
NAMED = tuple(  # The mistake is in step 3.
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:the|an?|main|key|their|its|this|one) (?:\w{{1,15}} )?"
        rf"(?:error|mistake|flaw|issue|problem(?= (?:is|lies|here|with|occurs)\b))s?\b{_GAP}{{0,40}}?"
        rf"\b(?:in|at|with|on|is|was|during) (?:the )?(?P<step>{STEP})",
        rf"\b(?:the|a) (?:wrong|incorrect|erroneous|faulty|flawed|mistaken) step(?: is| was|:) (?:the )?(?:(?P<step>{STEP})|{_BARE})",
    )
)
ONLY_STEP = re.compile(  # "3", "Step 3", "#3", "the third step": all of a JSON string
    rf"[\s\"'*_(]{{0,4}}(?:(?:in |at )?(?:the )?{STEP}|(?:no\.? ?|number |\\?# ?)?(?:{_COUNT}))[\s\"'*_).:]{{0,4}}", re.IGNORECASE
)
_BESIDE = re.compile(  # behind these words a step is not the wrong one
    r"\b(?:after|before|behind|beyond|past|until|till|to|than|follow(?:s|ing)|preced(?:es|ing)|next|by|us(?:es?|ed|ing)|skip\w{0,5}"
    r"|miss\w{0,3}|omit\w{0,4}|out|(?<!line )(?<!part )(?<!half )(?<!start )(?<!end )(?<!beginning )(?<!calculation )(?<!equation )of)"
    r"\W{1,3}(?:the\W)?$",
    re.IGNORECASE,
)
_OF_ANOTHER = re.compile(
    r"(?:['’]s)?\s?,?\s?(?:of|in|from) (?:the|your|our|this|their) "
    r"(?:right|correct|given|gold|reference|true|official|model|proper|sample) (?:solution|answer|attempt)",
    re.IGNORECASE,
)
_CAUSED = re.compile(
    r"\b(?:com(?:es?|ing) from|caused by|due to|because of|results? from|(?:is|are|as) (?:a|the) (?:result|consequence) of"
    rf"|stem\w{{0,4}} from|inherit\w{{0,3}}|propagat\w{{1,4}}|carried|originat\w{{1,4}})\b"
    rf"[^.;!?\n]{{0,40}}?(?:(?P<step>{STEP})|\b(?:earlier|previous|preceding|prior)\b)",
    re.IGNORECASE,
)
_END = re.compile(r"[.:;!?](?=\s|$)|\n")
NONE = re.compile(
    r"\W{0,3}(?:n\s?/?\s?a|none|null|nil|no(?: (?:wrong|error|incorrect|such)\w*)?(?: steps?| errors?)?|0|-1)\b(?![ -]\w)", re.I
)
ALL_RIGHT = re.compile(
    r"\b(?:all|every|each)(?: of)?(?: the)?(?: (?:\w{1,12}|\d{1,4})){0,2} (?:steps?|lines?|calculations?)(?: \w{1,12}){0,3}"
    r" (?:correct|right|valid|fine|sound)\b"
    r"|\bno (?:\w{1,12} )?(?:step is wrong|wrong step|incorrect step|error|mistake|issue|flaw)s?\b"
    r"|\bnone of the steps\b"
    r"|\bnothing (?:is )?wrong\b"
    r"|\b(?:solution|attempt|answer|reasoning|everything)(?: \w{1,12}){0,2} (?:is|are|looks?|seems?)(?: \w{1,12}){0,2}"
    r" (?:correct|right|fine|valid)",
    re.I,
)

_INNOCENT = re.compile(
    r"\b(?:there (?:is|are) )?(?:no|without(?: any)?|not any|free of|zero|not an?)"
    r" (?:\w{1,12} )?(?:errors?|mistakes?|issues?|problems?|flaws?)\b"
    r"|\bnothing (?:is )?(?:wrong|incorrect)\b|\bnot (?:wrong|incorrect|false|a mistake|mistaken)\b|\berror-free\b|\bnot only\b",
    re.IGNORECASE,
)
_APPROVAL = r"(?:correct|right|valid|true|accurate|fine|sound|ok|okay|good|justified|legitimate|appropriate)"
_WRONG = re.compile(
    r"\b(?:wrong|wrongly|incorrect|incorrectly|false|falsely|mistaken|mistakenly|mistakes?|errors?|erroneous|erroneously|inaccurate|inaccurately|invalid|"
    r"flaw|flawed|faulty|unjustified|misread\w{0,5}|misinterpret\w{0,5}|misunderst\w{0,8}|misappl\w{0,5}|miscalculat\w{0,5}|miscount\w{0,5}|"
    r"confus\w{1,5}|overlook\w{0,3}|forgot|forgets?|fails?|failed|omits?|omitted|ignor\w{1,3}|instead|contradict\w{0,5}|inconsistent|"
    r"(?:should|would|must|ought to) (?:not )?(?:be|have))\b"
    r"|[✗✘❌]|\b(?:not|never|hardly|barely|cannot be|can't be|far from)(?: \w{1,12}){0,2} " + _APPROVAL + r"\b"
    r"|n['’]t(?: \w{1,12}){0,2} " + _APPROVAL + r"\b",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    r"\b(?:correct|correctly|right|rightly|valid|accurate|accurately|fine|ok|okay|sound|true|holds)\b|[✓✔✅]", re.IGNORECASE
)
_AFFIRMS = re.compile(
    rf"^\W{{0,4}}(?:all )?{_APPROVAL}\b(?=\W{{0,3}}$|[.,;:!])|\b(?:is|are|was|were|looks?|seems?)"
    r"(?: (?:also|again|clearly|all|both|still|thus|indeed)){0,2}"
    rf" {_APPROVAL}\b(?! (?:hand|side|triangle|angle|idea))|(?<!have )(?<!be )\b(?:correctly|rightly)\b|\bholds\b|[✓✔✅]",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:no|not|never|cannot|hardly|barely)\b|n['’]t\b", re.IGNORECASE)
_NEXT = re.compile(r"\b(?:next|following|subsequent|later|other) (?:step|line|one)\b|\bstep (?:after|behind|that follows)\b", re.IGNORECASE)
_BUT = re.compile(r"\b(?:but|however|except|although|though|yet)\b", re.IGNORECASE)
_AT_ONCE = re.compile(
    r"[\s:(,–—*-]{0,4}(?:(?:is|are|was|were|looks|seems)\s(?:also |again |clearly |all |both ){0,2})?"
    rf"(?:(?P<right>{_APPROVAL}(?!-| hand| side| triangle| angle| idea))"
    rf"|wrong|incorrect|not {_APPROVAL}|false|flawed|mistaken|erroneous|invalid|an error|a mistake)\b",
    re.IGNORECASE,
)

_THEY = r"(?:they|he|she|it|the (?:student|attempt|solution|author|model))\b(?! (?:should|could|must|needs?|ought|can)\b)"
INSTEAD = rf"(?:alternatively|instead(?! of\b)(?!,? {_THEY}))"  # `Instead, they added 4` is what was done
HINT = re.compile(  # its label is taken off
    rf"(?:(?:and|or|but|so)\W{{1,2}})?(?:{INSTEAD}(?:\s?[:,–—-]{{1,2}}\s?|\s(?=[A-Za-z\\$]))"
    r"|(?:an? |the |my |here is an? )?(?:(?:better |correct |one[- ]sentence |possible )?"
    r"(?:alternative|hint|suggestion|advice|fix|correction)s?(?: (?:approach|step|method|suggestion|idea|way|sentence))?"
    r"|(?:better|correct|right|alternative|proper) (?:approach|method|way|step|idea|calculation)|better|try (?:this|it) instead"
    r"|suggested (?:fix|correction|step|approach|change)|corrected step|how to fix(?: it| this)?|what to do instead)\s?[:=]\s?)",
    re.IGNORECASE,
)
SOFT_HINT = re.compile(  # a whole sentence that says what to do
    r"(?:an?|the|one) (?:\w{1,15} )?(?:better|correct|right|simpler|proper|easier|alternative|good) (?:\w{1,15} ){1,3}"
    r"(?:is|are|would|should|will|could)\b"
    r"|(?:a|an|the) (?:better|correct|right|proper|alternative) \w{1,15}(?: (?:to|of|for) [^.]{1,60}?)? (?:is|are|would|should)\b"
    r"|[^.?!]{1,200}?\b(?:should|ought to|needs? to|must)(?: \w{1,12}){0,1} (?:be|have|use|add|subtract|multiply|divide|\w{3,15})\b"
    r"|(?:try|use|consider|instead of [^,]{1,100},[^.]{1,100}?\b(?:should|must)|you (?:can|could)|we (?:can|could)|it would be better)\b",
    re.IGNORECASE,
)
REASON = re.compile(
    r"(?:the )?(?:error |first error )?(?:analysis|reason|statement|explanation|description|why|what(?:['’]s| is| went) wrong|critique"
    r"|mistake|error|problem|issue)s?"
    r"(?: (?:analysis|reason|description|explanation))?\s?[:=]\s?",
    re.IGNORECASE,
)
ASIDE = re.compile(r"(?:final |overall )?(?:judge?ments?|verdict|correctness|result|conclusion|evaluation|answer)\s?[:=].*", re.IGNORECASE)
SUBJECT = re.compile(
    rf"(?P<lead>(?:(?:but|however|so|then|also|next|here|now|and|while|although|therefore|thus|hence|well|ok|okay|wait)\b[\s,]{{1,2}}){{0,3}}"
    rf"(?P<in>(?:in|at|for|on|as for|regarding|looking at|with|during)\s)?(?:the\s)?)(?P<step>{STEP})"
    rf"(?:\s?(?:,|-|–|&|to|and|through)\s?(?:and\s)?(?:steps?\s)?\d{{1,6}}\b){{0,6}}",
    re.IGNORECASE,
)
_STARS = re.compile(r"\*+|_+")
_MARK = re.compile(r"(?:[-*+•>#|]{1,6}\s{1,4}|#{1,6}(?=\w)|\d{1,2}[.)]\s{1,4}(?=\D)|\(?[a-z]\)\s{1,4}){1,4}")
_CELL_EDGE = re.compile(r"^\|(?=\s)|(?<=\s)\|$")
_TAG = re.compile(r"</?(?:answer|critique|response|output|statement|reason|hint|step|verdict|verification)>", re.IGNORECASE)
_CODE = re.compile(r"`([^`\n]{1,200})`")
_FACTOR, _FACTOR_BEFORE = re.compile(r"[\d$\\(]"), re.compile(r"[\w$)}\]\\^]")
_FACTOR_BEHIND, _FACTOR_APART = re.compile(r"[\w$(\\{]"), re.compile(r"[\d$)}] ")
_QUOTES = "\"“”'‘’"


def plain(line: str) -> str:
    """A line without markdown: bullets, headers, emphasis, code ticks and quotes around the whole."""
    line = _CODE.sub(r"\1", _TAG.sub("", line).strip())
    if line.startswith("```") or set(line) <= set("-*_=|: "):
        return ""
    line = _without_emphasis(line)
    if mark := _MARK.match(line):
        line = line[mark.end() :]
    line = _CELL_EDGE.sub("", _without_emphasis(line).strip()).strip()
    if len(line) > 1 and line[0] in _QUOTES and line[-1] in _QUOTES:
        line = line[1:-1].strip()
    return line


def _without_emphasis(line: str) -> str:
    """Pairs of equal marks taken out, and one that is open at the beginning or the end of the line: `4*$5` and `3 *4` multiply."""
    cut: list[tuple[int, int]] = []
    opened: dict[str, tuple[int, int]] = {}
    for mark in _STARS.finditer(line):
        if (begin := opened.get(mark.group())) and _closes(line, mark):
            cut += [begin, mark.span()]
            opened = {other: span for other, span in opened.items() if span < begin}
        elif len(mark.group()) <= 3 and _opens(line, mark):
            opened[mark.group()] = mark.span()
        elif len(mark.group()) in (2, 3) and mark.end() == len(line) and line[: mark.start()].endswith((".", ":", "!", "?")):
            cut.append(mark.span())
    cut += [(begin, end) for begin, end in opened.values() if begin == 0 and line[end].isalpha()]
    places = [0, *(place for span in sorted(cut) for place in span), len(line)]
    return "".join(line[begin:end] for begin, end in zip(places[::2], places[1::2], strict=True))


def _opens(line: str, mark: re.Match[str]) -> bool:
    before, behind = line[max(mark.start() - 2, 0) : mark.start()], line[mark.end() : mark.end() + 1]
    if not behind.strip() or _FACTOR_BEFORE.match(before[-1:]):
        return False
    return mark.group() != "*" or not (_FACTOR_APART.match(before) and _FACTOR.match(behind))


def _closes(line: str, mark: re.Match[str]) -> bool:
    before, behind = line[max(mark.start() - 1, 0) : mark.start()], line[mark.end() : mark.end() + 2]
    if not before.strip():
        return False
    if _FACTOR_BEHIND.match(behind):
        return behind[0].isalpha() and before in ".:!?"
    return mark.group() != "*" or not (_FACTOR_APART.match(before + " ") and behind[:1] == " " and _FACTOR.match(behind[1:]))


def doubtful(text: str, claim: re.Match[str], number: int, steps: int) -> bool:
    """Whether a claim that names a step may mean another one: `the error is after step 2`, `the error in step 3 comes from step 2`."""
    begin, end = claim.span("step" if claim.groupdict().get("step") else "bare")
    stop = _END.search(text, end, end + LOOKED_AT)
    named = [name.group() for name in re.finditer(STEP, text[begin : stop.start() if stop else end + LOOKED_AT], re.IGNORECASE)]
    named += [cause["step"] or "step 0" for cause in _CAUSED.finditer(text, end, end + LOOKED_AT)]
    return beside(text, begin, end) or any((number_of(name, steps) or 0) < number for name in named)


def beside(text: str, begin: int, end: int) -> bool:
    """Whether the step named there is told apart from the one that is meant: `before step 3`, `step 3 of the right solution`."""
    return bool(_BESIDE.search(text[max(begin - 40, 0) : begin]) or _OF_ANOTHER.match(text, end))


def number_of(name: str, steps: int) -> int | None:
    """The number in `Step #3`, `the third step`, `last step` (that of `steps`) or `3`."""
    found = _NUMBER_OF_STEP.search(name)
    if not found:
        return None
    if word := found["count"]:
        return _CARDINALS.get(word.lower()) or int(word)
    rank = found["rank"].lower()
    if rank in ("last", "final"):
        return steps
    return _ORDINALS.get(rank) or int(rank[:-2])


def called(text: str) -> bool | None:
    """Whether a text calls something right (True) or wrong (False); None for neither."""
    if (at_once := _AT_ONCE.match(text)) and not (at_once["right"] and _BUT.search(text)):
        return bool(at_once["right"])
    text = _INNOCENT.sub(" correct ", text)
    return False if _WRONG.search(text) else True if _RIGHT.search(text) else None


def mixed(text: str) -> bool:
    """Whether a text calls something wrong and something right without a *but* before the fault, or goes on to another step."""
    bare = _INNOCENT.sub(" ", text)
    if not (faults := list(_WRONG.finditer(bare))):
        return False
    if _NEXT.search(bare):
        return True
    right = _AFFIRMS.search(_WRONG.sub(lambda fault: " " * len(fault.group()), bare))
    if not right or _AT_ONCE.match(text):
        return False
    return not _BUT.search(bare, right.end(), faults[-1].start()) if right.end() <= faults[-1].start() else True


def approves(text: str) -> bool:
    """Whether a text calls its subject right and nothing else: `Correct.`, `They correctly add 4.`; not `The correct sum is 12.`"""
    bare = _INNOCENT.sub(" is correct ", text)
    return bool(_AFFIRMS.search(bare)) and not (_WRONG.search(bare) or _BUT.search(bare) or _DENIAL.search(bare))
