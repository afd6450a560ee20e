"""Texts that the tests of meaning compare, and the forms in which Qwen3-Embedding and Qwen3-Reranker take them."""

from __future__ import annotations

from dataclasses import dataclass

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
_SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)


@dataclass(frozen=True)
class Question:
    """`passages`: the one that answers stands first, the others share its topic or its words."""

    query: str
    passages: tuple[str, ...]


QUESTIONS = (
    Question(
        "When does the train to Hamburg leave?",
        (
            "The train to Hamburg departs at 9:40.",
            "The train to Bremen departs at 9:40.",
            "A ticket to Hamburg costs 36 euros.",
            "Hamburg expects rain on Tuesday.",
        ),
    ),
    Question(
        "How long do I bake carrot cake?",
        (
            "Carrot cake needs 45 minutes in the oven.",
            "Onion pie needs 45 minutes in the oven.",
            "Carrot cake stays fresh 5 days in the fridge.",
            "Bake carrot cake at 180 degrees.",
        ),
    ),
    Question(
        "What does Nora Ellison do for a living?",
        (
            "Nora Ellison works as a dentist.",
            "Paul Ellison works as a baker.",
            "Nora Ellison lives in Dresden.",
            "The phone number of Nora Ellison is 555 2718.",
        ),
    ),
    Question(
        "How do I see which models are installed?",
        (
            "`mlx-serve list` (or `ls`) shows the installed models.",
            "`mlx-serve stop` lets running requests finish and stops the daemon.",
            "`mlx-serve remove NAME` (or `rm`) removes a model.",
            "`mlx-serve start` starts the daemon in the background and returns when it is ready.",
        ),
    ),
    Question(
        "How much does the Velto lamp cost?",
        (
            "Customers pay 79 dollars for the Velto lamp.",
            "Customers pay 79 dollars for the Krampo lamp.",
            "You can buy the Velto lamp at the shop Brindle.",
            "Where the Velto lamp is made is not known.",
        ),
    ),
)
# Each pair means the same; no two pairs do.
PARAPHRASES = (
    ("The doctor bought a big car.", "A large automobile was purchased by the physician."),
    ("A child is sleeping in the garden.", "In the yard a kid is taking a nap."),
    ("The thief stole an old picture at night.", "After dark the burglar took away an ancient image."),
    ("Anna Bergmann plays the violin.", "The instrument of Anna Bergmann is the violin."),
    ("Every 6 days the fern needs water.", "Water your fern every 6 days."),
    ("Oslo United beat FC Milan 4 to 2.", "The match between Oslo United and FC Milan ended 4 to 2."),
    ("The happy teacher is singing in the kitchen.", "At the stove the joyful instructor is performing a song."),
    ("An account at the Norden Bank costs 4 euros a month.", "The Norden Bank charges 4 euros each month."),
)


def query(text: str) -> str:
    return f"Instruct: {INSTRUCTION}\nQuery:{text}"


def messages(query: str, document: str) -> list[dict[str, str]]:
    """For the chat template, with add_generation_prompt and without thinking."""
    body = f"<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>: {document}"
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": body}]


def texts() -> list[str]:
    """Queries, passages, and both sides of the paraphrases, in one list."""
    asked = [query(question.query) for question in QUESTIONS]
    passages = [passage for question in QUESTIONS for passage in question.passages]
    return asked + passages + [text for pair in PARAPHRASES for text in pair]


def pairs() -> list[tuple[str, str]]:
    return [(question.query, passage) for question in QUESTIONS for passage in question.passages]
