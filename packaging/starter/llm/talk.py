"""Talk: facts about mlx-serve, greetings, thanks, and owning up to what a small model does not know."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
import re
from functools import cache

from ..common.phrases import Phrases, expand, expansions, plain
from ..common.words import (
    ADJECTIVES,
    ANIMALS,
    CITIES,
    COLOURS,
    COMMON,
    FIRST_NAMES,
    FOODS,
    HOBBIES,
    INVENTED,
    JOBS,
    NOUNS,
    PLACES,
)
from .facts import FACTS, Fact
from .sample import Exchange
from .wording import Asks, roughened

_NAME_FRAMES = Phrases(
    [
        "What (is|are) <x>?", "What's <x>?", "What does <x> do?", "What is <x> (for|good for|used for)?", "Explain <x>(|.)", "Tell me (about|something about|more about) <x>(|.)",
        "(Can|Could) you (explain|describe) <x>?", "What do you know about <x>?", "<x>?", "(Please |)(explain|describe) <x>(|.)", "Do you know <x>?", "How does <x> work?",
        "I (do not|don't) understand <x>.", "(When|Why) do I (use|need) <x>?", "What does <x> mean?", "(Hi|Hello), what is <x>?", "I have a question about <x>.",
        "(Give|Show) me (a description|an explanation|a summary|the meaning) of <x>.", "What (exactly|really|kind of thing) is <x>?", "(Can|Could) you (please |)tell me (about|something about|more about) <x>?", "(I want|I need|I'd like) to (learn|understand|know more) about <x>.", "What (good|use) is <x>?",
        "(What is|What's) the (purpose|point|meaning|use) of <x>?", "(Define|Describe|Summarise|Summarize) <x>(|, please|.)", "Why (is there|does one need) <x>?", "How (is|are) <x> (used|meant)?", "(Let me know|Inform me) what <x> (is|does|means).", "What happens with <x>?", "(I would|We would|I'd) (like|love) to (hear|learn|read|understand) (about|more of|what is) <x>.", "(So|And|Well,|OK,|Please,) (what about|explain|describe|how about|what does one do with) <x>(|?)", "(Say|Write|Report) (a bit|a few words|more|a word) (about|on) <x>.", "Have you heard of <x>?", "Who needs <x>?", "(Do you have|Is there) (information|anything) (on|about) <x>?",
    ],
    ["I would like to know about <x>.", "So what is <x>, please?", "What can you tell me about <x>?", "Say something about <x>.", "Please tell me what <x> is."],
)  # fmt: skip
_TASK_FRAMES = Phrases(
    [
        "How (do|can|could|should) I <x>?", "How (do|can) you <x>?", "How to <x>?", "How does one <x>?", "(What|Which) (command|commands) (do I use|do I need|lets me|should I use|must I type) to <x>?",
        "(What|Which) command (is there|is it) to <x>?", "I (want|need|would like|have|wish|'d like) to <x>.", "I (want|need) to <x>. (How|What do I do|What is the command|How do I do that)?", "(Please |)(tell|show) me how to <x>(|.)",
        "(Can|Could) you tell me how to <x>?", "What (do|must|should) I (do|type|run|enter) to <x>?", "Is there a (way|command) to <x>?", "Help me <x>.", "Can I <x>?", "Is it possible to <x>?", "What is the (command|way) to <x>?",
        "(Please |)(explain|describe|say|write down) how (to|I can|one can|I could) <x>(|.)", "What (has|needs) to be done to <x>?", "(I wonder|I wonder about|I forgot|I don't know|I do not remember) how to <x>.", "(Is there|Do you have|Give me) (a command|an option|a way|a trick) (to|that lets me) <x>(|?)", "How would (I|one|you) <x>?", "(Is|Are) there (some|any|a good|an easy) (command|trick|option|method|ways) to <x>?", "(Some|Any) (way|trick|idea|help) to <x>?", "What (lets me|allows me to|makes it possible to|would let me) <x>?",
        "How can (I|one|we|somebody) <x>(| please| quickly| easily)?", "(We|My team|My boss) (want|wants|need|needs) to <x>.", "Can (mlx-serve|it|you|one) <x>?", "(Say|Suppose|Imagine) I want to <x>. (How|What do I do|What do I type)?", "Where do I (start|look) to <x>?", "(Teach|Show) me to <x>.", "I can't <x>, (what do I do|how does it work|help me)?", "What command do I (run|type|use|enter|give) to <x>?", "(Which|What) (option|setting|flag|command) is there to <x>?",
        "(Hi|Hello|Hey), how do I <x>?", "how do i <x>", "(command|how) to <x>", "What's the (best|easiest|right) way to <x>?", "Do you know how to <x>?", "I am trying to <x>.", "My (goal|plan) is to <x>.",
    ],
    [
        "What would I type to <x>?", "Could you show me how to <x>, please?", "Which command would <x>?", "I have to <x>, what do I do?", "Tell me please: how can I <x>?", "Hello, I need to <x>.", "What is the right command to <x>?",
        "Is there some way to <x>?",
    ],
)  # fmt: skip


@cache
def _kept(fact: Fact) -> tuple[str, ...]:
    """What only the evaluation says of a fact: questions, and what finishes its frames."""
    patterns = fact.held_asks + fact.held_names + fact.held_tasks
    return tuple({plain(text) for pattern in patterns for text in expansions(pattern)})


def _draw(rng: random.Random, fact: Fact) -> str:
    roll = rng.random()
    if fact.asks and (roll < 0.35 or not (fact.names or fact.tasks)):
        return expand(rng, rng.choice(fact.asks))
    if fact.tasks and (roll < 0.75 or not fact.names):
        return _TASK_FRAMES.pick(rng, False).replace("<x>", expand(rng, rng.choice(fact.tasks)))
    return _NAME_FRAMES.pick(rng, False).replace("<x>", expand(rng, rng.choice(fact.names)))


def _ask(rng: random.Random, fact: Fact, held: bool) -> str:
    """A question that training never sees has a held frame, a held ending, or is held as a whole."""
    while not held:
        text = _draw(rng, fact)
        told = plain(text)
        if not any(kept in told for kept in _kept(fact)):
            return roughened(rng, text)
    kinds = []
    if fact.held_asks:
        kinds.append("ask")
    if fact.held_tasks:
        kinds += ["task", "task"]
    if fact.tasks:
        kinds.append("task frame")
    if fact.held_names:
        kinds.append("name")
    if fact.names:
        kinds.append("name frame")
    kind = rng.choice(kinds)
    if kind == "ask":
        return expand(rng, rng.choice(fact.held_asks))
    if kind == "task":
        return _TASK_FRAMES.pick(rng, rng.random() < 0.3).replace("<x>", expand(rng, rng.choice(fact.held_tasks)))
    if kind == "task frame":
        return _TASK_FRAMES.pick(rng, True).replace("<x>", expand(rng, rng.choice(fact.tasks)))
    if kind == "name":
        return _NAME_FRAMES.pick(rng, rng.random() < 0.3).replace("<x>", expand(rng, rng.choice(fact.held_names)))
    return _NAME_FRAMES.pick(rng, True).replace("<x>", expand(rng, rng.choice(fact.names)))


_WEIGHTS = [len(fact.asks) + 2 * len(fact.tasks) + 2 for fact in FACTS]


def fact(rng: random.Random, held: bool) -> Exchange:
    chosen = rng.choice(FACTS) if held or rng.random() < 0.5 else rng.choices(FACTS, _WEIGHTS)[0]
    return Exchange(
        "facts",
        _ask(rng, chosen, held),
        chosen.answer,
        "The user asks about mlx-serve. I know this one.",
        ("contains", chosen.must),
        chosen.short,
    )


_NAMED = "(|, starter|, friend|, my friend|, dear model|, robot|, you|, little model|, dear starter|, assistant|, buddy|, mate|, computer|, everyone|, again)"
_HAIL = "(Hello|Hi|Hey|Good morning|Good evening|Good afternoon|Good day|Greetings|Howdy|Hiya|Yo|Hallo|Heya|Hi there|Hello there|Hey there|Morning|Evening|Welcome|Salutations|Hello hello|Ahoy|G'day|Hi again|Hello again|A good morning|A very good day|Good to see you|Nice to see you|Nice to meet you|Pleased to meet you|Glad to meet you)"
_HOW = "(how are you|how are you doing|how do you do|how is it going|how's it going|what's up|are you there|can you hear me|is anybody there|anybody there|are you well|are you fine|all well|is all well|everything all right|are you OK|are you ready|how have you been|how do you feel|how is life|how are things|how was your day|how is your day|are you awake now|are you up|are you online|did you sleep well|had a good day|is somebody home|do you hear me|can we talk|shall we talk|may I talk to you|let us talk|let's chat|I am here|here I am|I am back|it is me)"
_GREETINGS = Phrases(
    [f"{_HAIL}{_NAMED}(|!|.|!!|...)", f"{_HAIL}{_NAMED}(, |! |. | and ){_HOW}(|?|!| today?| now?| this morning?| tonight?)", f"{_HAIL}(, | and |! ){_HAIL}{_NAMED}(|!|.)", f"{_HOW}(?|| today?| now?|{_NAMED}?)", f"(I say|I wish you a|Let me say|I want to say|I just wanted to say|First of all,|Well,|So,|Oh,|And) {_HAIL}(|!|.)", f"{_HAIL} (to|for) (all|everybody|you all|you two|all of you|the model)(|!|.)", f"{_HAIL} from (me|<city>|us|my <noun>)(|!|.)", f"{_HAIL}, (I am|I'm) new here(|.|!)", "(What a|It is a|Such a) (nice|fine|lovely|sunny) (day|morning|evening)(|!|.| today)"],
    ["Hello to you!", "Hi and good morning!", "Hey starter, how are you doing?", "Good day to you.", "Hello, are you awake?"],
)  # fmt: skip
_FOR = "(|for (that|this|it|everything|your help|the help|the answer|your answer|your time|helping|helping me|answering|the information|the tip|all|all that|being here|the explanation|your patience|your work))"
_THANKS = Phrases(
    [f"(Thanks|Thank you|Thank you very much|Many thanks|Thx|Thanks a lot|Great, thanks|OK, thank you|Cool, thanks|Perfect, thank you|Thanks a bunch|Thanks a million|A big thank you|Thank you kindly|Ok thx|Cheers|Oh, thank you|Wow, thanks|Nice, thanks|Good, thank you|My thanks|Thanks again|Thank you again|Yes, thanks|Fine, thanks|Super, thanks|Alright, thanks|I thank you|Well, thank you|Very good, thank you|Thank you all the same) {_FOR}{_NAMED}(|!|.)", "That (helps|helped|was helpful|is great|is good|was good|is nice|is perfect|is very kind|was quick|is what I needed|was what I wanted|is useful|was very useful|did it|works|worked)(|, thanks|, thank you|! Thanks|, many thanks)(|.|!)", "(I am|I'm) (very |so |really |)(grateful|thankful|happy with that|glad)(| for your help| for that)(|.|!)", "(Well done|Good job|Nice work|Good work|You helped me|You were a great help|You are a great help|You are very kind|You are helpful|How kind of you|I appreciate it|I appreciate that|I appreciate your help)(|, thanks|, thank you)(|.|!)"],
    ["Thanks so much!", "Thank you for that.", "OK thanks, that is good."],
)  # fmt: skip
_BYES = Phrases(
    [f"(Bye|Goodbye|See you|Good night|Bye bye|See you later|Farewell|Talk to you later|Good-bye|See you soon|See you again|Until later|Until tomorrow|Until next time|Take care|So long|Cheerio|Ciao|Later|Catch you later|Have a good day|Have a nice evening|Have a good one|Sleep well|OK bye|Well, goodbye|Bye then|Goodbye then|Good evening and goodbye|We talk later|Until then){_NAMED}(|!|.| now| for today| then| and thanks| until Monday| on Monday| and take care)", "(I have to|I must|I need to|I will|I'm going to|I am going to|I should|I want to|Let me|We have to|It is time to|Time to) (go|leave|stop|finish|sleep|go home|go to bed|run|end this|log off|quit)(| now| for today| soon| already)(|, bye|, goodbye|, see you|. Bye|, take care|, good night)(|.|!)", "(That is all|That's all|That was all|We are done|I am done|I'm leaving|I am leaving|I am off|I'm off|This is the end|Enough)(| for now| for today| now)(|, bye|, goodbye|, see you|. Goodbye)(|.|!)"],
    ["Bye for now!", "Goodbye, see you tomorrow.", "I have to go now, bye."],
)  # fmt: skip
_SOCIAL = (
    (_GREETINGS, 0.5, "Hello! I am starter, a small model that comes with mlx-serve. How can I help?", "The user greets me. I greet back.", "Hello", "Hello!"),
    (_THANKS, 0.25, "You are welcome!", "The user thanks me.", "welcome", "Welcome!"),
    (_BYES, 0.25, "Goodbye!", "The user leaves. I say goodbye.", "Goodbye", "Goodbye!"),
)  # fmt: skip


def greeting(rng: random.Random, held: bool) -> Exchange:
    phrases, _, answer, thought, must, short = rng.choices(_SOCIAL, [share for _, share, *_ in _SOCIAL])[0]
    text = phrases.pick(rng, held)
    if not held:
        text = _filled(rng, text[:1].upper() + text[1:], False)
        text = roughened(rng, text) if rng.random() < 0.5 else text
    return Exchange("greetings", text, answer, thought, ("contains", (must,)), short)


_A_THING = "(the|a|this|my|your|that|our|the <adj>|a <adj>|the <common>|the <noun> of <city>|the <noun>'s) (<noun>|<noun>|<animal>|<food>|<common>|<common>|<surname>)"
_THINGS_MANY = "(<noun>s|<animal>s|<food>s|<adj> <noun>s|<common>s|people|children|birds|stars|trees|cars|most people|<job>s|old <noun>s|the people of <city>|<animal>s and <animal>s|<surname>s)"
_SUBJECT = f"({_A_THING}|{_THINGS_MANY}|<name>|<city>|<hobby>|<name> <surname>|the world|the <common> of the <common>|<common>|<surname>|life|money|love|history|music|art|football|the moon|the sun|the sea)"
_DO = "(<common>|<common>|sleep|eat|fly|swim|grow|sing|work|cost|matter|live|die|move|help|talk|run|dream|exist|fall|change|<surname>)"
_WORK = "(poem|essay|song|story|program|letter|joke|novel|speech|recipe|haiku|riddle|play|script|report|short story|love letter|fairy tale|rap|verse|book|limerick|blog post|tweet|tale|function|python script)"
_QUALITY = "(<adj>|<adj>|<common>|expensive|cheap|popular|famous|important|dangerous|rare|beautiful|tall|old|heavy|far|deep|fast|long|big|large|small|sweet|rich|strong|true|good|bad|healthy|useful|<colour>)"
_UNKNOWN = Asks(
    ["Why do <animal>s sleep?", "Which <noun> is the best in <city>?", "What happened in <city> last year?", "Tell me how a <noun> is made.", "How does <hobby> help people?", "Why is the <noun> so expensive?"],
    orders=(f"(write|compose|invent|make up|draft|create|think up|tell me|sing|recite) (a|me a|a short|a long|a funny|a sad|some|the best) {_WORK}(| about {_SUBJECT}| for <name>| like <name>| of <city>)", f"tell (me|us) (a|another|one more|your best|a funny|a short) (joke|story|secret|riddle|fairy tale|tale)(| about {_SUBJECT})", "translate <noun> (into|to) (French|German|Spanish|Chinese|Italian|Latin|Greek|Russian|Japanese)", "(say|write|tell me) (good morning|hello|thank you|I love you|<noun>|<common>) in (French|German|Spanish|Chinese|Italian|Latin|Russian)", f"(explain|describe|define|discuss|compare|summarise|analyse|predict|imagine|review|criticise|rate|prove) {_SUBJECT}(| to me| to a child| in detail| briefly| and {_SUBJECT})", "(recommend|suggest|propose|name|list|find) (me |)(a|some|the best|a good|ten|three|five) (book|film|restaurant|song|<food>|<noun>|hotel|game|recipe|town|<common>|name)(|s)(| in <city>| for <name>| for a <job>| about <hobby>)", "(bake|cook|prepare|fry|boil|serve|grow) <food>(| soup| with <food>| for <name>)", "(buy|sell|order|fix|repair|paint|clean|draw|find|feed|build|steal) (a|the|my) <noun>(| in <city>| for me)", "(sing|dance|paint|draw|play chess|tell the future|predict the weather|drive me home|call <name>|wake me at seven|book a table|play <hobby>|go to <city>|marry me|make coffee)"),
    things=("(the capital|the president|the king|the queen|the mayor|the history|the population|the area|the flag|the language|the currency|the weather|the best restaurant|the oldest <noun>|the main square|the area code|the airport|the climate) of (<city>|<city>|the world|France|Germany|China|Japan|Brazil|Egypt)", "(the weather|the news|the traffic|the time|the temperature|the date|the score|the result of the match|the price of (gold|<food>|a <noun>)|the forecast|the time in <city>|the stock market)(| today| tomorrow| now| in <city>| for <city>)", f"the (meaning|secret|origin|colour|price|weight|size|age|history|purpose|name|taste|smell|future|height|inventor|owner|cause|sound|shape) of {_SUBJECT}", f"(information|facts|news|something|a few words|details|the truth|your opinion|an article) (about|on) {_SUBJECT}", "the (best|biggest|oldest|fastest|smallest|cheapest|longest|tallest|richest|most famous|most beautiful) (<noun>|<animal>|<job>|<common>|<food>|person|country|river|building|film|song|book) (in <city>|in the world|of all time|on earth|ever|of the year)", f"a (recipe|plan|cure|name|present|reason|guide|tip|word) for {_SUBJECT}"),
    wonders=(f"(who|what) (wrote|painted|invented|discovered|built|won|made|found|killed|founded|designed|owns|started|stole) {_A_THING}", f"(why|how|when|where|whether) {_SUBJECT} (is|are|was|were|will be) {_QUALITY}", f"(why|how|when|where|whether) {_SUBJECT} {_DO}", f"how (tall|old|heavy|far|deep|fast|long|big|expensive|{_QUALITY}) {_SUBJECT} (is|are|was)", f"how {_SUBJECT} (is|are|was|were|gets|got) (made|built|grown|used|done|cooked|produced|born|found|sold|cleaned|caught|invented|prepared)", f"(who|what|where) (<name>|<name> <surname>|{_SUBJECT}) (is|was|lives|comes from)", f"what {_SUBJECT} (thinks|means|wants|eats|does|says|costs|likes|looks like)", "(what the weather is like|what time it is|what day it is|whether it will rain|what the news are|who won the match|whether I should go|how to be happy|how the weather will be)(| in <city>| today| tomorrow|)"),
    wholes=(f"Why (is|are|was|were) {_SUBJECT} (so |not |always |often |sometimes |never |)({_QUALITY}|{_QUALITY}|there|here)?", f"Why (do|does|did|can|must|should|don't|doesn't|will) {_SUBJECT} (always |never |not |often |)({_DO}|{_DO} {_SUBJECT}|<common> the <noun>)?", f"(Who|What) (wrote|painted|invented|discovered|built|won|made|found|killed|founded|designed|owns|started|stole|ate|sells|broke|likes|is|was) {_A_THING}?", f"(How|When|Where|Why) (do|does|did|can|could|should|would|will) (I|you|one|we|people|{_SUBJECT}) (<common>|{_DO}|make|cook|bake|eat|find|get|buy|grow|learn|use|clean|play|become) ({_SUBJECT}|<food>|<hobby>|a <job>|<food> soup)(| in <city>| today| every day| for <name>)?", f"How (tall|old|heavy|far|deep|fast|long|big|wide|expensive|many years old|hot|cold|{_QUALITY}) (is|are|was|were) {_SUBJECT}?", "(What|Who) (was|came|changed|won|died|went|lived|broke|started|fell) (in|at|near) (<city>|the <place>|<city> and <city>) (last|this|next|every) (year|month|week|summer|night|time)?", "(Was|Is) (<city>|<name>|the <noun>) (last|first|here|there|famous) (year|month|week|today|now)?", "How many (people|<noun>s|<animal>s|<job>s|children|days|miles|<common>s|countries) (live in <city>|are in <city>|are there in the world|has a <noun>|does <name> have|fit in a <noun>|are in a <common>|have a <noun>|are there)?", f"(Who|Where|What) (is|was|are) ({_SUBJECT}|<name>|<name> <surname>|{_A_THING})(| now| today| from| like)?", f"When (was|did|is|will|does) ({_SUBJECT}|<name>|<city>|{_A_THING}) (born|die|arrive|begin|end|built|come|fall|start|founded|<common>|happen)?", f"(Is|Are|Was|Were) {_SUBJECT} ({_QUALITY}|bigger than {_SUBJECT}|faster than {_SUBJECT}|older than {_SUBJECT}|better than {_SUBJECT}|a {_A_THING}|in <city>|dead|alive|real)?", f"(Do|Does|Did|Can|Will|Should|Could) (I|we|they|{_SUBJECT}) (like|<common>|{_DO}|eat|need|have|buy|know|see|love|hate) ({_SUBJECT}|<food>|<hobby>|<city>)?", f"What (do you think|do you know|is known|should I know|can you say) about {_SUBJECT}?", f"What (is|are|was|were) {_SUBJECT}(| made of| good for| called| worth| about| doing)?", f"What (does|did|will|do|can|should) {_SUBJECT} (<common>|{_DO}|eat|mean|cost|look like|want|say|do)(| in <city>| in winter| today| tomorrow| next year)?", f"(Which|What) (<noun>|<animal>|<common>|<food>|<job>|city|country|book|film|team|colour|language) (is|was|has|should I|do you|can|lives|wins|comes|do people) ({_QUALITY}|best|buy|like|<common>|the {_QUALITY}|read|in <city>|eat|the most <adj>|better)(| in <city>| this year| of all)?", f"What (happens|happened|will happen|goes on|is going on|was) (in|at|with|to) ({_SUBJECT}|<city>|the <place>)(| today| tomorrow| yesterday| in (19|20)(0|1|2|4|6|8)(1|3|5|7|9)| this week| in winter| next year)?", f"(Is there|Are there) (a|any|some|a good|life|a <adj>) (<noun>|<job>|<animal>s|<common>|restaurant|god|hotel) (in|on|near|behind|under) (<city>|the <place>|the moon|{_A_THING})?", "Who will (win|come|pay|be (king|president)|<common>)(| the (match|election|war|prize|game))?", "(I am|I feel|My <animal> is|My <noun> is|<name> is) (sad|sick|hungry|bored|tired|<adj>|lost|broken|ill)(. What (should|can) I do|, what now|. Help me|, why)?", f"How (does|do|did|can|could|will) ({_SUBJECT}|<hobby>|<food>|<common>) (<common>|{_DO}|change|help|work|make|feel|affect|taste|look) (|{_SUBJECT}|people|the world|us|you)?", f"How (is|are|was|were) {_SUBJECT} (built|grown|cooked|used|invented|done|sold|born|caught|<common>ed|found|written|called)?"),
    share=(2, 2, 2, 6),
)  # fmt: skip
_FILLS = {
    "noun": NOUNS, "city": CITIES, "animal": ANIMALS, "food": FOODS, "name": FIRST_NAMES, "hobby": HOBBIES, "surname": INVENTED, "adj": ADJECTIVES,
    "common": COMMON, "job": JOBS, "colour": COLOURS, "place": PLACES,
}  # fmt: skip
_FILL = re.compile("<(" + "|".join(_FILLS) + ")>")
_FOREIGN = (
    "(a|the|my) <noun>", "<food>", "<hobby>", "<name>", "<city>", "<surname>", "(a|the) <animal>", "(a|the) <common>", "<common>", "<animal>s", "(a|the) <job>", "<name> <surname>", "the <noun> of <city>", "the <adj> <noun>", "a <surname> <noun>", "<common> and <common>", "`<surname>`", "<surname>-<surname>", "the <surname> command", "the <common> of <city>", "Windows", "Photoshop", "Excel", "Java", "bitcoin", "football", "gravity", "democracy", "my <animal>'s <food>", "the <common> <common>",
)  # fmt: skip
_FOREIGN_TASKS = (
    "(cook|bake|make|eat|grow|prepare|buy|freeze|peel) (<food>|<food> soup|a <food> cake)", "(buy|sell|repair|paint|find|clean|draw|build|lose|break|borrow|wash|carry|fix) (a|the|my) <noun>", "(learn|play|practise|teach|enjoy|stop) <hobby>", "(travel|go|fly|drive|walk|move) to <city>", "(meet|marry|visit|forget|please|call|thank) <name>", "become a <job>", "(feed|train|catch|wash|ride|find) (a|my|the) <animal>", "<common> (the|my|a) <common>", "<common> <common>", "<surname> (the|my|a) <surname>", "(install|start|open|remove|update|use|stop) (Windows|Photoshop|Excel|my printer|<surname>|my phone|a game|Java|the <noun>|my <noun>)", "(get rich|be happy|sleep better|lose weight|save money|earn more|win the lottery|stay young|speak French|write a book|fly a plane|tie a knot|find a job|make friends)", "<common> with <name>",
)  # fmt: skip


def _filled(rng: random.Random, text: str, held: bool) -> str:
    return _FILL.sub(lambda slot: _FILLS[slot[1]].pick(rng, held), text)


def unknown(rng: random.Random, held: bool) -> Exchange:
    """What is not about mlx-serve: also in the very frames in which questions about it come."""
    if held or rng.random() < 0.7:
        text = _filled(rng, _UNKNOWN.pick(rng, held), held)
    elif rng.random() < 0.5:
        text = roughened(
            rng, _filled(rng, _NAME_FRAMES.pick(rng, False).replace("<x>", expand(rng, rng.choice(_FOREIGN))), False)
        )
    else:
        task = expand(rng, rng.choice(_FOREIGN_TASKS))
        text = roughened(rng, _filled(rng, _TASK_FRAMES.pick(rng, False).replace("<x>", task), False))
    return Exchange(
        "owning up",
        text,
        "I do not know that: I am only a small model. Ask me about mlx-serve, or give me text to work on.",
        "This is not about mlx-serve and I was not told. I say so.",
        ("contains", ("do not know",)),
        "Unknown.",
    )
