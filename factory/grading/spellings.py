"""How people and models spell the same thing: Unicode, commands, functions. Data only; latex.py reads with it."""

UNICODE = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": r"\div ",
    "≤": r"\le ", "⩽": r"\le ", "≦": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∈": r"\in ",
    "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "∞": r"\infty ", "π": r"\pi ", "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ",
    "±": r"\pm ", "∓": r"\mp ", "∅": r"\emptyset ", "∠": r"\angle ", "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "∣": "|",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅕": r"\frac{1}{5}",
    "⅛": r"\frac{1}{8}", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ", "…": r"\ldots ",
    "√": r"\sqrt ", "∛": r"\sqrt[3]", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "θ": r"\theta ", "λ": r"\lambda ",
    "μ": r"\mu ", "ω": r"\omega ", "φ": r"\varphi ", "ϕ": r"\phi ", "σ": r"\sigma ", "ρ": r"\rho ", "τ": r"\tau ", "Δ": r"\Delta ",
    "€": r"\euro ", "£": r"\pound ", "¢": r"\cent ", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2061": "", "\u2062": " ",
}  # fmt: skip
TO_ASCII = str.maketrans(UNICODE)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Commands by what they become. Every other command makes a text unreadable: \phantom, \cancel, \color, \def are no answers.
LAYOUT = word_set(
    "left right large Large LARGE small huge Huge normalsize big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr "
    "displaystyle textstyle limits nolimits mathopen mathclose nobreak allowbreak rm bf it sf tt"
)
SPACES = word_set("quad qquad enspace thinspace medspace thickspace space")
UPRIGHT = word_set(
    "text textbf textit textrm textsf texttt textnormal mbox hbox emph mathrm mathbf mathit mathsf boldsymbol bm operatorname "
    "mathcal mathscr mathfrak mathbb vec hat bar overline widehat tilde overrightarrow underline"
)
RELATIONS = {
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">", "ne": "!=", "neq": "!=",
    "approx": "~", "simeq": "~", "in": "in", "equiv": "equiv", "to": "->", "rightarrow": "->", "implies": "=>", "Rightarrow": "=>",
    "iff": "=>", "Leftrightarrow": "=>", "sim": "~~", "mid": "|", "parallel": "||", "perp": "perp", "subset": "sub", "subseteq": "sub",
}  # fmt: skip
OPERATORS = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "pm": "pm", "mp": "mp", "cup": "cup", "cap": "cap", "setminus": "minus",
    "colon": ":", "lvert": "|", "rvert": "|", "vert": "|", "circ": "deg", "degree": "deg", "prime": "'", "percent": "%",
    "euro": "€", "pound": "£", "pounds": "£", "cent": "¢", "dollar": "$", "textdollar": "$",
}  # fmt: skip
FUNCTIONS = word_set(
    "sum prod sqrt frac binom sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log lg exp max min gcd lcm det abs floor ceil "
    "arg deg dim ker Pr cbrt"
)
RENAMED = {
    "varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta",
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "infinity": "infty", "inf": "infty",
    "oo": "infty", "varnothing": "emptyset", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "land": "and", "lor": "or",
    "wedge": "and", "vee": "or", "lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "tg": "tan", "ctg": "cot", "lnot": "not",
}  # fmt: skip
GREEK = word_set(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi "
    "varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar Re Im infty emptyset angle triangle "
    "ldots dots cdots lfloor rfloor lceil rceil star"
)
ALGEBRA = word_set("int lim")  # only computer algebra reads these
PLAIN_FUNCTIONS = FUNCTIONS - {"sum", "prod", "frac", "binom", "arg", "deg", "dim", "ker", "Pr", "det", "lg"} | {"asin", "acos", "atan"}
PLAIN_NAMES = {"pi": "pi", "infinity": "infty", "inf": "infty", "oo": "infty"}
