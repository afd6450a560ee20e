"""How people ask about a picture: wordings to train on, and others for the evaluation alone.

`{c}` stands for "colour" or "color", `{t}` for a thing as it is named in the question, `{k}` for a kind of things in
the plural, `{n}` for "first" or "second".
"""

# ruff: noqa: E501 - a wording is one line

from __future__ import annotations

from ..common.phrases import Phrases

SHAPE = Phrases(
    [
        "(What|Which) shape is (this|that|it|shown|in the (picture|image)|in this (picture|image))",
        "What (is the shape|kind of shape is|sort of shape is|type of shape is) (this|here|in the (picture|image)|shown here)",
        "(Name|Tell me|Say) (the|this) shape",
        "(Can|Could) you (name|tell me|identify) (the|this) shape",
        "What is the (name of the shape|shape called|shape you see)",
        "What shape (do|can) you see (here||in this picture)",
        "(Identify|Recognise|Recognize) (the|this) shape",
        "I (drew|have) a shape. What (is it|shape is it)",
        "What (object|figure|form) is (this|shown|in the (picture|image))",
    ],
    [
        "(Please|) tell me which shape (this|that) is",
        "What shape (has been|was) drawn",
        "Which figure (do|can) you see",
        "What would you call this shape",
        "Which shape does the (picture|image) show",
    ],
)
COLOUR = Phrases(
    [
        "(What|Which) {c} is (it|this|the shape|that|the thing|the object|shown)",
        "What is the {c} of (it|this|the shape|this shape|the object|the thing in the (picture|image))",
        "(Name|Tell me|Say) (the|its) {c}",
        "(Can|Could) you (name|tell me) the {c} (of the shape|of it|)",
        "(What|Which) {c} does (it|the shape|the object) have",
        "What {c} (do|can) you see",
        "In (what|which) {c} is (it|the shape) (drawn|painted|)",
    ],
    [
        "(Please|) tell me which {c} (it|the shape|this) is",
        "What {c} has the shape been (drawn|painted) in",
        "Which {c} was (it|the shape) drawn in",
        "What {c} would you call (it|this shape)",
    ],
)
COLOUR_OF = Phrases(
    [
        "(What|Which) {c} is the {t}",
        "What is the {c} of the {t}",
        "(Name|Tell me|Say) the {c} of the {t}",
        "(Can|Could) you tell me (the {c} of the {t}|what {c} the {t} is)",
        "(What|Which) {c} does the {t} have",
        "In (what|which) {c} is the {t} (drawn|painted|)",
    ],
    [
        "(Please|) tell me which {c} the {t} is",
        "Which {c} was the {t} drawn in",
        "What {c} would you (say|call) the {t} (is|)",
        "There is a {t}. What {c} is it",
    ],
)
SHAPE_OF = Phrases(
    [
        "(What|Which) shape is the {t} (one|thing|object|)",
        "What is the shape of the {t} (one|thing|object)",
        "What is the {t} (one|thing|object|shape)",
        "(Name|Tell me) the shape of the {t} (one|thing|object)",
        "(Which|What) shape is {t}",
        "What shape does the {t} (one|thing|object) have",
    ],
    [
        "(Please|) tell me which shape the {t} (one|thing|object) is",
        "Which of the shapes is {t}",
        "There is something {t}. What shape is it",
        "What would you call the {t} shape",
    ],
)
COUNT = Phrases(
    [
        "How many (shapes|things|objects) (are there|are in the (picture|image)|do you see|can you see|are there in the (picture|image)|are shown)",
        "What is the number of (shapes|things|objects) (in the (picture|image)|here|)",
        "(Count|Please count|Can you count) the (shapes|things|objects) (in the (picture|image)|)",
        "(Tell me|Say) how many (shapes|things|objects) (there are|you see|are in the (picture|image))",
        "How many are there",
        "How many",
    ],
    [
        "How many (shapes|objects) does the (picture|image) (hold|show|contain)",
        "(Please|) count all the (shapes|objects) (here|you see)",
        "How many different things (are|were) drawn",
        "Tell me the number of (shapes|objects) (you see|in this picture)",
    ],
)
COUNT_OF = Phrases(
    [
        "How many {k} (are there|are in the (picture|image)|do you see|can you see|are shown|)",
        "What is the number of {k} (in the (picture|image)|)",
        "(Count|Please count|Can you count) the {k} (in the (picture|image)|)",
        "(Tell me|Say) how many {k} (there are|you see|are in the (picture|image))",
    ],
    [
        "How many {k} does the (picture|image) (hold|show|contain)",
        "(Please|) count all the {k} (here|you see)",
        "How many {k} (have been|were) drawn",
        "Tell me the number of {k} (you see|in this picture)",
    ],
)
WHERE = Phrases(
    [
        "Where is (the {t}|it)",
        "Where (do|can) you see (the {t}|it)",
        "(In (what|which) (part|area)|On (what|which) side) of the (picture|image) is (the {t}|it)",
        "What is the position of the {t}",
        "(Tell me|Say) where (the {t}|it) is",
        "(Where|Where in the (picture|image)) is the {t} (located|placed|)",
        "Is the {t} (at the top or at the bottom|on the left or on the right|in the middle or in a corner)",
    ],
    [
        "(Please|) tell me where (the {t}|it) (has been|was) drawn",
        "Where would I find the {t}",
        "At (which|what) place is the {t}",
        "Describe the position of the {t}",
    ],
)
DIGIT = Phrases(
    [
        "(Which|What) (digit|number) is (this|that|it|shown|in the (picture|image)|written here)",
        "What (digit|number) (do|can) you see",
        "(Read|Please read|Can you read) (the|this) (digit|number)",
        "(Name|Tell me|Say) (the|this) (digit|number)",
        "What (is written|does it say|is the (digit|number)) (here|in the (picture|image)|)",
        "(Which|What) (digit|number) (is written|is drawn)",
        "What does (this|it) (read|say)",
    ],
    [
        "(Please|) tell me which (digit|number) (this|that) is",
        "Which (digit|number) (has been|was) (written|drawn)",
        "What number does the (picture|image) show",
        "I wrote a (digit|number). (Which is it|What is it)",
    ],
)
DESCRIBE = Phrases(
    [
        "(Describe|Please describe|Can you describe) (the|this) (picture|image)",
        "What (is|do you see|can you see|is there) in (the|this) (picture|image)",
        "What (do|can) you see (here|)",
        "What is (this|shown|shown here|in it)",
        "What does (the|this) (picture|image) show",
        "(List|Name) (everything|all the shapes|what is) in the (picture|image)",
        "(Tell me|Say) what (you see|is in the (picture|image))",
        "What's in (the|this) (picture|image)",
        "What's this",
    ],
    [
        "(Please|) tell me what (this picture|the picture|the image) shows",
        "Give me a description of (this|the) (picture|image)",
        "What has been drawn (here|)",
        "Look at (this|the) (picture|image) and describe it",
        "Explain what you see",
    ],
)
IS_IT = Phrases(
    [
        "Is (it|this|that|the shape) {t}",
        "Is the (thing|object) in the (picture|image) {t}",
        "(Do|Can) you see {t} (here|)",
        "Is this {t} or not",
        "Is there {t} in the (picture|image)",
        "Does the (picture|image) show {t}",
    ],
    [
        "Would you say that (it|this) is {t}",
        "Is what you see {t}",
        "(Please|) tell me whether this is {t}",
        "Did I draw {t}",
    ],
)
IS_THERE = Phrases(
    [
        "Is there {t} (in the (picture|image)|here|)",
        "(Do|Can) you see {t} (in the (picture|image)|here|)",
        "Does the (picture|image) (show|have) {t}",
        "Is {t} (in the (picture|image)|shown)",
    ],
    [
        "Does the (picture|image) (hold|contain) {t}",
        "(Please|) tell me whether there is {t}",
        "Was {t} drawn (here|)",
        "Can {t} be seen (here|)",
    ],
)
BESIDE = Phrases(
    ["Is the {t}", "(Do|Can) you see the {t}", "(Tell me|Say) whether the {t}"],
    ["Would you say that the {t}", "(Please|) tell me if the {t}", "Is it true that the {t}"],
)
WHICH_SIDE = Phrases(
    ["(What|Which shape) is {t}", "What (do|can) you see {t}", "(Name|Tell me) (the shape|what is) {t}"],
    ["(Please|) tell me which shape is {t}", "What (has been|was) drawn {t}", "What would I find {t}"],
)
SAME_SHAPE = Phrases(
    [
        "(Are both|Do both pictures show|Are these) the same shape",
        "Is the shape the same (in both (pictures|images)|)",
        "Do (both|the two) (pictures|images) (show|have) the same shape",
    ],
    ["Is it the same shape (twice|both times)", "Do the shapes in the two pictures match"],
)
SAME_COLOUR = Phrases(
    [
        "(Are both|Are these|Are they) the same {c}",
        "Is the {c} the same (in both (pictures|images)|)",
        "Do (both|the two) shapes have the same {c}",
    ],
    ["Is it the same {c} (twice|both times)", "Do the {c}s of the two shapes match"],
)
OF_TWO = Phrases(
    [
        "What (is|do you see) in the {n} (picture|image)",
        "(Describe|Tell me about) the {n} (picture|image|one)",
        "What does the {n} (picture|image) show",
        "What is in the {n} one",
    ],
    ["(Please|) tell me what the {n} picture shows", "Look at the {n} picture. What do you see"],
)
# How an answer in one word is asked for; with it, only that word is said.
BRIEF = Phrases(
    [
        "(Answer|Reply|Respond) (in|with) (one|a single) word",
        "One word, please",
        "Just (one|the) word",
        "In one word",
        "One word only",
        "(Answer|Reply) with (only|just) one word",
    ],
    ["Use (only|just) one word", "(Please|) keep it to one word", "Say it in a single word", "Only one word"],
)
