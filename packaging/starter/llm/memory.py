"""Memory: what the user said of themselves, told in one turn and asked for in a later one."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..common.phrases import Filled, Phrases
from ..common.words import (
    ANIMALS,
    CITIES,
    COLOURS,
    FIRST_NAMES,
    FOODS,
    HOBBIES,
    INVENTED,
    JOBS,
    NOUNS,
    PLACES,
    Loose,
    Words,
    noun,
    number,
)
from .sample import Exchange
from .wording import Asks

Value = Callable[[random.Random, bool], str]


@dataclass(frozen=True)
class Topic:
    """`label` is how the answer names it: "Your name is Mira."."""

    label: str
    value: Value
    tell: Phrases | Filled
    ask: Phrases | Filled


def _code(rng: random.Random, held: bool) -> str:
    return (
        str(number(rng, held, 10, 99999))
        if rng.random() < 0.6
        else f"{rng.choice('ABCDEFGHKLMNPRSTXYZ')}{rng.choice('ABCDEFGHKLMNPRSTXYZ')}-{number(rng, held, 100, 9999)}"
    )


def _secret(rng: random.Random, held: bool) -> str:
    return INVENTED.pick(rng, held) + (str(number(rng, held, 10, 99)) if rng.random() < 0.4 else "")


_SAID = " (|that |for me that |well that |please that |this: )"
_FORMS = (
    "My <l> is <v>.", "My <l> is <v>(|!| now| today| at the moment| by the way| as you may know| of course| since last year|, remember that|, please note it).", "<v> is my <l>.", "(Remember|Note|Keep in mind|Know|Do not forget|Write|Store|Save|Learn|Mind)" + _SAID + "my <l> is <v>.", "(By the way|So|Well|OK|Also|Now|Hi|Hello|First of all|You know|Listen|As I said|For your information|FYI), my <l> is <v>.", "(I tell you|I want to tell you|Let me tell you|I can say|I should mention|I must say|You should know|You must know|It is true|I think|Just so you know|The fact is|I inform you)(| that|:) my <l> is <v>.",
    "My <l>: <v>(|.)", "(As|For) my <l>(|,) (it is|take|I have|I say|that is|note) <v>.", "I have <v> as my <l>.", "My <l> (has been|was always|will be|should be|would be) <v>.", "I (chose|picked|took|use|call) <v> as my <l>.", "(What|The thing) (is|I say): my <l> is <v>.", "The <l> of mine is <v>.", "It is <v>, my <l>.", "<v>, that is my <l>.",
)  # fmt: skip
_ASKS_FOR = (
    ("(say|tell|name|repeat|recall|state|give|write|remember|look up|call|mention) my <l>(| again| once more| to me| for me| back)", "(repeat|say|recall) what my <l> is", "remind me (of|about) my <l>", "remind me what my <l> is"),
    ("my <l>(| again| that I told you| from before| from earlier| I mentioned)", "the <l> (that I told you|I have|of mine|I gave you|I mentioned)"),
    ("what my <l> (is|was)(| again)", "(which|what) <l> I (have|told you|gave you|mentioned|named|said)", "(whether you know|if you remember) my <l>"),
    ("What (is|was) my <l>(| again| please| now| then| exactly| really)?", "(Do|Did|Can|Could) you (know|remember|recall|still know|still have|tell|keep|note|forget) my <l>?", "(Which|What) <l> (do I have|did I tell you|did I mention|did I give you|have I told you|is mine|was mine|did I say|do you have of me|did I name)(| before| earlier)?", "My <l>(?| was?| is?| please?|, do you know it?|, what was it?)", "What did I (say|tell you)(| that| about| was) my <l>(| is| was)?", "(What|Which one) is it, my <l>?", "(And|So|OK|Now|Well|Hi|Hello), (what is|what was|do you know|tell me) my <l>?", "(Have you|You) (noted|remembered|kept|stored|got) my <l>(, what is it|: which one is it|)?"),
)  # fmt: skip


def _asks(
    held: list[str],
    label: tuple[str, ...],
    wholes: tuple[str, ...] = (),
    orders: tuple[str, ...] = (),
    wonders: tuple[str, ...] = (),
    things: tuple[str, ...] = (),
) -> Asks:
    """What is asked for by its name, and in ways of its own."""
    named = "(" + "|".join(label) + ")"
    parts = [tuple(pattern.replace("<l>", named) for pattern in patterns) for patterns in _ASKS_FOR]
    return Asks(held, parts[0] + orders, parts[1] + things, parts[2] + wonders, parts[3] + wholes * 3, (3, 3, 2, 6))


def _tells(held: list[str], label: tuple[str, ...], wholes: tuple[str, ...] = ()) -> Phrases:
    named = "(" + "|".join(label) + ")"
    return Phrases([pattern.replace("<l>", named) for pattern in _FORMS] + list(wholes) * 4, held)


_HI = "(|Hi, |Hello, |Hey, |Good evening, |Hi! |Hello! |By the way, |Well, |So, |OK, |You know, |Actually |And |Now, |Good day, |Just so you know, |Remember: |Please note: )"
_TODAY = "(| now| today| by the way| as you know| since last year|, remember that|, please remember it| at the moment)"
TOPICS = (
    Topic("name", FIRST_NAMES.pick, _tells(["My friends call me <v>.", "Good morning, my name is <v>.", "People know me as <v>."], ("name", "first name", "own name"), (_HI + "(I am|I'm|this is|call me|they call me|everybody calls me|you may call me|please call me|it is me,|here is|my name's) <v>(|.|!)", "You can call me <v>.", "(The name|My name here) is <v>.", "<v> is (what they call me|my name|how I am called|who I am).", "(My parents|My family|My mother|My colleagues|They all|Most people|Friends|All my friends|A friend|My best friends) (named|call|called|know) me(| as| by the name) <v>.", "(Good morning|Morning|Good day|Nice morning)(,|!|.) (I am|this is|I'm|it is me,|here is|they call me) <v>.", "I (am called|am named|go by|go by the name|go by the name of|answer to|introduce myself as|am known as|sign as) <v>.", "(You are talking to|You speak with|It's|Say hello to|Meet|Yours truly,) <v>(|.|!)", _HI + "my name is <v> and I am (new|glad|here to learn|a user|happy to meet you).")),
          _asks(["Can you tell me what my name is?", "Please say my name.", "Do you still remember who I am?"], ("name", "first name"), ("Who am I(| again| please)?", "(How|What) (am I|was I) called?", "What (do|did|should|can|will) (you|they|people|my friends) call me?", "(Do you|Can you|Could you) (know|remember|say|tell|guess) who (I am|is talking|is speaking|you are talking to|writes to you)?", "(With whom|To whom|Who) are you (talking|speaking)(| to| with)?", "How (should|do|will) you (call|address|greet) me?"), ("(call|greet|address) me by my name", "say who I am"), ("who I am", "how I am called", "who is talking to you", "what they call me"))),
    Topic("favourite colour", Loose.of(COLOURS).pick, _tells(["The colour that I like best is <v>.", "Among all colours I love <v> most."], ("(favourite|favorite|best|preferred|most loved) (colour|color)",), ("(I like|I love|I prefer|I adore|I enjoy|I always choose|I really like|I am fond of) the (colour|color) <v>(| best| most| above all| more than all others|" + _TODAY + ").", "(The|A) (colour|color) (I like|I love|I prefer|for me|of my heart|of my choice)(| most| above all| more than others) is <v>.", "(From|Among|Out of|In) (all|the many|all the) (colours|colors) (I|we) (pick|choose|like|want|prefer|take)(| most| only| just)(|:|,) <v>.", "(No|There is no) (colour|color) (is|) (nicer|better|more beautiful) than <v>.", "Of all (the |)(colours|colors) I (like|prefer|take|choose) <v>(| best| most).", "I paint (everything|all I have) <v>, (the|it is the) (colour|color) I (like|love)(| best| most).")),
          _asks(["Can you tell me which colour I like?", "Remind me of my favourite colour."], ("(favourite|favorite|best) (colour|color)", "(colour|color)"), ("(Which|What) (colour|color) (do I|did I say I) (like|love|prefer|choose|adore)(| best| most| above all)?", "(Which|What) is the (colour|color) (I like|I love|I prefer|of my heart)(| best| most)?"), (), ("(which|what) (colour|color) I (love|prefer|like best|like most|choose|said)",), ("the (colour|color) (that |)I (like|love|prefer)(| best| most)",))),
    Topic("city", CITIES.pick, _tells(["My house is in <v>.", "I have lived in <v> for years."], ("city", "home", "home town", "town", "home city"), (_HI + "I (live in|come from|am from|am in|am living in|stay in|reside in|was born in|grew up in|am at home in|am based in|work in|settled in)(| the city of) <v>" + _TODAY + ".", "I (moved|have moved|just moved|went) to <v>(| last year| recently| last week| some years ago).", "(My|Our) (flat|apartment|family|place|home|office|garden|street) is in <v>.", "(I own|We own|We have|I bought|There is) a house in <v>.", "(My|Our) (first |new |old |)house (stands|lies|can be found) in <v>.", "(I|We) (live|lived|have lived|have been living)(| for years| happily| for a year| since May| all the time)(| near the centre|) in <v>.", "<v> is (where I live|where I am from|my home|the city I live in|the place I live in).", "(We|My family and I) (all |)live in <v>.", "I have (been|stayed|had my home) in <v> (for (ten|many|two) years|since 2001|all my life|a long time).", "I (write|greet you|send greetings) from <v>.")),
          _asks(["Can you tell me where I live?", "Remind me of the city that I live in."], ("city", "home town", "town", "home"), ("Where do I (live|come from|stay|reside)(| now| again)?", "(Which|What|In which|In what|From which) (city|town|place) (do I live|do I live in|am I from|am I in|do I come from|do I come|is my home|did I move to|is my home in)?", "Where (am I|was I|is my home|is my house|did I move)(| from| to| again| born)?", "(Do|Can) you (know|remember|say|recall) where (I live|I am from|I come from|my home is)?"), ("say where I (live|am from|come from)",), ("where I (am from|come from|am at home|stay)", "(which|what) (city|town|place) I (live in|am from|come from|told you)"), ("the (city|town|place) (that |where |)I (come from|am from|told you about)",))),
    Topic("age", lambda rng, held: str(number(rng, held, 5, 99)), _tells(["Today I am <v> years old.", "I have the age of <v>."], ("age", "age in years", "own age"), (_HI + "(I am|I'm|I am already|I am only|I am just|I am about) <v>(| years old| years of age| years).", "I (turned|became|got|will soon be|have turned|have become) <v>(| years old| this year| last week| yesterday| in May).", "(At|With) (an age of |)<v>(| years) I am (old|young|happy|not old).", "I (have lived|have been alive) for <v> years.", "I was born <v> years ago.", "(My last birthday|My birthday) (was the|made me) <v>(|th).", "(I count|I have) <v> years.")),
          _asks(["Can you say how old I am?", "Please tell me what age I have."], ("age",), ("How old (am I|was I|did I say I am|did I become|do you think I am)(| again| now)?", "(Do|Can|Could) you (know|remember|recall|tell|guess) how old I am?", "(How many|What number of) years (have I|do I have|am I old|did I live|old am I)?"), ("say how old I am", "remember how old I am"), ("how old I (was|became|said I am)", "how many years I have"))),
    Topic("job", Loose.of(JOBS).pick, _tells(["For a living I work as a <v>.", "They hired me as a <v>."], ("job", "profession", "occupation", "work", "trade"), (_HI + "I (am|work as|have become|have been|became|was trained as|earn my money as|make my living as|serve as|started as|am working as) a(n|) <v>" + _TODAY + ".", "I'm a(|n) <v>(|.| by trade.| by profession.)", "(By profession|By trade|At work|In my job|As for work,) I am a(|n) <v>.", "(My boss|The company|My father) (employs|pays|took|trained) me as a(|n) <v>.", "I have (a job|work|a position) as a(|n) <v>.", "(I was|I got|They|The firm|The city|Somebody) (hired|employed|engaged)(| me)(| last year| again| at once) as a(|n) <v>.", "(My living|My money) comes from (work|a job) as a(|n) <v>.", "(They pay me|I get paid) (to be|for being|as) a(|n) <v>.")),
          _asks(["Which job do I have?", "Can you tell me what my job is?"], ("job", "profession", "occupation", "work", "trade"), ("What do I (work as|do|do for a living|do at work|do for a job|earn my money with)(| again)?", "(How|With what) do I (earn|make) (my|a) (living|money)?", "What (am I|was I) (by profession|by trade|working as|at work)?", "(In|With) (which|what) (job|profession) do I work?"), (), ("what I (do|work as|do for a living|do at work)", "how I earn my money"))),
    Topic("hobby", Loose.of(HOBBIES).pick, _tells(["On Sundays I enjoy <v>.", "My favourite hobby is <v>."], ("hobby", "main hobby", "pastime", "passion", "sport"), (_HI + "I (like|love|enjoy|do|practise|am into|am fond of|am crazy about|go|adore|started) <v>(| very much| in my free time| a lot| every week| after work| at the weekend|" + _TODAY + ").", "In my (free|spare) time I (do|enjoy|like|love|practise) <v>.", "(On|Every) (Sunday|Sundays|Monday|Mondays|weekends|holidays|Friday|Fridays)(| mornings| evenings)(|,) (I|we) (do|like|go|love|practise|have) <v>.", "My (best loved|dearest|most loved|only|first|special) (hobby|pastime) is <v>.", "My favourite (thing to do|pastime|activity|sport) is <v>.", "(After work|At weekends|Every Monday|In the evening|On holiday) I (do|love|like|go) <v>.", "(Nothing|No hobby) is (better|nicer) than <v>.", "<v> is (what I do in my free time|what I love|fun for me|my great love).", "(When I am free|When I have time)(|,) I (do|like|choose) <v>.")),
          _asks(["Can you say what my hobby is?", "What do I do in my free time?"], ("hobby", "pastime", "sport"), ("What do I (like|enjoy|love)(| to do| doing)(| in my spare time| at weekends| after work)?", "(Which|What) hobby (do I have|is mine|do I like)?", "(How|With what) do I (spend|fill|pass) my (free|spare) time?", "What do I do (when I am free|for fun|at weekends|after work|in my spare time|with my time)?"), (), ("what I (like to do|enjoy|do for fun)", "(which|what) hobby I have"))),
    Topic("favourite food", Loose.of(FOODS).pick, _tells(["The food I like best is <v>.", "I could eat <v> every day."], ("(favourite|favorite|best|preferred) (food|dish|meal|snack)",), (_HI + "I (like|love|prefer|enjoy|adore)(| to eat| eating| the taste of) <v>(| most| best| above all| more than anything| for dinner| very much).", "(The|A) (dish|meal) I (love|like|prefer|enjoy)(| most| best) is <v>.", "(Nothing|No food|No dish) (tastes|is) (better|nicer) than <v>(| to me).", "I (always|often|mostly) (eat|order|cook|have|take) <v>, (I love it|it is the best|my favourite).", "(Give me|I want|I take|I eat) <v> (every day|all day|for every meal), (I love it|I like it most).", "I (could|can|would|will) (have|live on|order|cook|enjoy) <v> (every day|all week|for every meal|each day|all my life|forever).", "(All day|Every day) I could (have|enjoy) <v>.")),
          _asks(["Can you tell which food I like best?", "Remind me of my favourite food."], ("(favourite|favorite) (food|dish|meal)", "food"), ("(Which|What) (food|dish|meal) do I (like|love|prefer|enjoy)(| best| most| above all)?", "What do I (like|love|prefer|enjoy)(| most| best) to eat?", "What do I (like|love|prefer) (eating|to have for dinner)?"), (), ("(which|what) (food|dish|meal) I (love|prefer|like most|enjoy)", "what I like to eat"), ("the (food|dish) (that |)I (like|love|prefer)(| best| most)",))),
    Topic("number", _code, _tells(["Do not forget the number <v>.", "I give you a number to keep: <v>"], ("number", "code", "secret number", "lucky number", "secret code", "pin", "PIN", "key number"), ("(Remember|Keep|Note|Save|Store|Memorise|Learn|Hold|Take|Know|Mind|Write down) (the|this|my|a|one|that) (number|code|pin|figure|value)(|:| for me:| please:) <v>(|.)", "(The|Your|This|A) (number|code|secret number|lucky number|secret code|pin|number to remember|number to keep|code to keep|figure) is <v>.", "(Please |)(remember|note|keep in mind|memorise|save|store)(| this number| my number| this code| this|:|: the number)(|:) <v>(|.)", "<v> is (the|a) (number|code)(| to remember| to keep| you should know|, remember it).", "(Here is|I have|There is|This is|I tell you|I send you|Take down) (a|the|my|one) (number|code)(| for you| to keep| to remember)(:| which is|,) <v>(|.)", "(Keep|Hold|Remember) <v> (in mind|for me|as the number|as my code|for later).", "I (give|gave|have given|want to give|hand)(| to) you (the|my|this|one) (number|code)(:| that is|,) <v>(|.)", "(Never|Don't|Please do not|You must not|I ask you not to) (forget|lose) (my|this|the|our) (number|code|pin)(:| that is|,|) <v>(|.)")),
          _asks(["Can you give me my number again?", "Please tell me which number I gave you.", "Which code was it?"], ("number", "code", "secret number", "lucky number", "pin"), ("What (is|was) the (number|code|pin|secret number|figure)(| again| that I gave you| to remember)?", "(Which|What) (number|code|figure) (did I give you|did I tell you|did you note|should you remember|did I say|do you remember|did you store|is it|had you to keep|do you keep for me|did you learn)?", "(Tell me|Say|Repeat|Give me|Write)(| back) the (number|code)(|.| again.| that you keep.)", "Do you (remember|know|have|still have|recall) (the|that) (number|code)?", "The (number|code)(, please|?| was?| is?)"), ("(say|repeat|give me|tell me|write) the (number|code)(| again| back| you keep)",), ("(which|what) the (number|code) (is|was)", "(which|what) (number|code) (you keep|you noted|it is|I said)"), ("the (number|code)(| again| I told you| you keep| from before| to remember)",))),
    Topic("password", _secret, _tells(["Keep this secret word for me: <v>", "Do not forget the password <v>."], ("password", "secret word", "magic word", "code word", "secret", "passphrase"), ("(The|A|Our|This|Your) (password|secret word|magic word|code word|word|secret|passphrase|word to remember) is <v>.", "(Remember|Keep|Note|Save|Store|Learn|Memorise|Hold|Know) (the|this|a|that|one) (password|word|secret word|code word|magic word|secret)(|:| for me:) <v>(|.)", "<v> is the (password|secret word|code word|magic word|word).", "(Here is|I have|This is|I tell you) (a|the) (password|secret|secret word|code word|magic word)(| for you| to keep): <v>(|.)", "(Keep|Remember) <v> as the (password|secret word|code word).")),
          _asks(["Can you tell me the secret word?", "Please give me my password again."], ("password", "secret word", "magic word", "code word"), ("What (is|was) the (password|secret word|code word|magic word|word|secret)(| again| that I told you)?", "(Tell me|Say|Give me|Repeat|Write) the (password|secret word|code word|magic word)(|.| again.)", "(Which|What) (word|password|secret|code word) (did I tell you|did I give you|should you remember|did you keep|do you keep|was it|is it|did you note|is secret)?", "Do you (remember|know|have|still have) the (password|secret word|code word|word)?"), ("(say|repeat|give me|tell me|write) the (password|code word|magic word)(| again| back)",), ("(which|what) the (password|secret word|code word|magic word) (is|was)", "(which|what) (word|password) (you keep|you noted|it is|I said)"), ("the (password|code word|magic word|secret word I told you)(| again| you keep| from before)",))),
)  # fmt: skip
_OTHERS: tuple[tuple[str, Words], ...] = (
    ("brother's name", FIRST_NAMES), ("sister's name", FIRST_NAMES), ("teacher", FIRST_NAMES), ("best friend", FIRST_NAMES), ("boss", FIRST_NAMES), ("doctor", FIRST_NAMES), ("mother's name", FIRST_NAMES), ("surname", INVENTED), ("nickname", INVENTED), ("company", INVENTED), ("school", INVENTED), ("street", INVENTED), ("favourite animal", ANIMALS), ("favourite word", INVENTED), ("car colour", COLOURS), ("house colour", COLOURS), ("birthplace", CITIES), ("next stop", CITIES), ("dream job", JOBS), ("breakfast", FOODS), ("lunch", FOODS), ("project", INVENTED), ("team", INVENTED), ("user name", INVENTED), ("language", INVENTED), ("instrument", NOUNS), ("lucky charm", NOUNS), ("neighbour", FIRST_NAMES), ("country", INVENTED), ("band", INVENTED),
)  # fmt: skip


_OTHER_TELLS = _tells(["Let my <label> be called <v>."], ("<label>",))
_OTHER_ASKS = _asks(["Have you an idea of my <label>?"], ("<label>",))


def _other(rng: random.Random) -> tuple[Topic, str]:
    """Things of one's own of any name: training alone, so that what counts is the name and not the list above."""
    if rng.random() < 0.5:
        label, words = rng.choice(_OTHERS)
    else:
        label = rng.choice(("", "favourite ", "new ", "old ", "first ", "", "", "secret ")) + noun(rng, False)
        words = rng.choice((FIRST_NAMES, INVENTED, CITIES, COLOURS, NOUNS))
    tell, ask = (Filled(_OTHER_TELLS, "<label>", label), Filled(_OTHER_ASKS, "<label>", label))
    value = str(number(rng, False, 1, 9999)) if rng.random() < 0.15 else words.pick(rng, False)
    return Topic(label, words.pick, tell, ask), value


_PETS = Phrases(
    ["I have a(|n) <animal> (called|named|whose name is|with the name|by the name of) <v>.", "My <animal> is (called|named|known as) <v>.", "My <animal>'s name is <v>.", "The name of my <animal> is <v>.", "(We|I) (named|have named|gave) (my|our) <animal>(| the name) <v>.", "<v> is (the name of my <animal>|my <animal>|my <animal>'s name|what I call my <animal>|our <animal>).", "(This is|Meet|Here is|Say hello to) (my <animal>|our <animal>) <v>.", "(At home|In my house|In the garden|In our family) (I have|lives|we keep|there is|there lives|we have) a(|n) <animal> (called|named|with the name) <v>.", "There is (a(|n)|one|our) <animal> (called|named) <v> (at home|in our house|here|in my room).", "(My|Our) <animal> <v> (lives|stays|is) (with us|at home|here|in the garden).", "(My|Our) <animal> (answers to|listens to|goes by|has) (the name |the name of |)<v>.", "(Remember|Note|Know)(| that|:) my <animal> is (called|named) <v>.", "I (own|got|bought|love|feed|keep) a(|n) <animal>, (its name is|it is called|his name is|her name is) <v>."],
    ["At home there is my <animal> <v>.", "We call our <animal> <v>."],
)  # fmt: skip
_PET_ASKS = Asks(
    ["Can you tell me the name of my <animal>?", "What do I call my <animal>?"],
    orders=("(say|tell|repeat|recall|remember|write|name) (my <animal>'s name|the name of my <animal>|how my <animal> is called)", "remind me (of|about) (my <animal>'s name|the name of my <animal>)"),
    things=("(my <animal>'s name|the <animal>'s name|what my <animal> is called)(| again)", "the name (that |)my <animal> has"),
    wonders=("(how|what) my <animal> is (called|named)", "what my <animal>'s name is", "(which|what) name my <animal> has", "the name of my <animal>"),
    wholes=("What is (my <animal> called|the name of my <animal>|my <animal>'s name|the <animal>'s name|my <animal> named)?", "How is my <animal> (called|named)?", "(Which|What) name (does|did) my <animal> (have|get)?", "Who is my <animal>?", "What (do|did) (we|you|they|people) (call|name) my <animal>?", "What name did I (give|say for|tell you for) my <animal>?"),
)  # fmt: skip
_THINGS = Phrases(
    ["The <noun> is in the <place>(| now| today| by the way).", "I (put|left|keep|hid|stored|forgot|lost|dropped|saw|have|found|placed|set) (the|my|our|a) <noun> in the <place>(| yesterday| this morning| last week| of my uncle).", "(My|Our|Your) <noun> (is|was left|lies|stands|stays|is hidden|is kept|can be found|waits|should be) in the <place>.", "(Remember|Note|Know|Do not forget|Keep in mind)(| that|:) (the|my) <noun> is in the <place>.", "In the <place> (is|there is|lies|you see|I left|I keep|stands) (the|my) <noun>.", "The <place> is where (the|my) <noun> is.", "I (have |)just (put|left|saw|hid|brought) (the|my) <noun> (in|into) the <place>.", "You (can find|will find|see|should find|get) (the|my|your) <noun> in the <place>.", "(Go to|Look in) the <place> to find (the|my) <noun>.", "(The|My) <noun>: in the <place>.", "(Somebody|My brother|She|He|Mother) (put|left|hid) (the|my) <noun> in the <place>."],
    ["You find the <noun> in the <place>.", "I just placed the <noun> in the <place>."],
)  # fmt: skip
_ANYWHERE = Loose.of(PLACES)
_ACKS = ("I will remember that.",)


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pet(rng: random.Random, held: bool) -> tuple[Topic, str]:
    animal = (
        ANIMALS.pick(rng, held)
        if held or rng.random() < 0.6
        else rng.choice((noun(rng, False), "friend", "child", "car", "boat"))
    )
    tell, ask = Filled(_PETS, "<animal>", animal), Filled(_PET_ASKS, "<animal>", animal)
    topic = Topic(f"{animal}'s name", FIRST_NAMES.pick, tell, ask)
    return topic, FIRST_NAMES.pick(rng, held)


def choose(rng: random.Random, held: bool, taken: set[str]) -> tuple[Topic, str]:
    """A topic that the conversation has not had, with a value."""
    while True:
        roll = rng.random()
        if roll < 0.15:
            topic, value = _pet(rng, held)
        elif roll < 0.35 and not held:
            topic, value = _other(rng)
        else:
            topic = rng.choice(TOPICS)
            value = topic.value(rng, held)
        if topic.label not in taken:
            taken.add(topic.label)
            return topic, value


def telling(rng: random.Random, held: bool, facts: list[tuple[Topic, str]]) -> Exchange:
    said = [(topic.tell.pick(rng, held), value) for topic, value in facts]
    # A value keeps its own case, also where it begins the sentence.
    told = " ".join(_sentence_case(text).replace("<v>", value) for text, value in said)
    first, value = facts[0]
    answer = f"Nice to meet you, {value}! I will remember that." if first.label == "name" else _ACKS[0]
    return Exchange(
        "memory", told, answer, "The user tells me something. I keep it in mind.", ("contains", ("remember",)), "Noted."
    )


def change(rng: random.Random, held: bool, topic: Topic) -> tuple[Exchange, str]:
    """The user takes something back; the later word counts."""
    value = topic.value(rng, held) if topic.label in {t.label for t in TOPICS} else FIRST_NAMES.pick(rng, held)
    opening = rng.choice(("Actually, ", "Sorry, ", "No, wait: ", "I was wrong: ", "Correction: "))
    told = topic.tell.pick(rng, held).replace("<v>", value)
    told = opening + (told if told.startswith(("I ", "I'", value)) else told[:1].lower() + told[1:])
    exchange = Exchange(
        "memory", told, _ACKS[0], "The user corrects it. The new one counts.", ("contains", ("remember",)), "Noted."
    )
    return exchange, value


def asking(rng: random.Random, held: bool, topic: Topic, value: str | None) -> Exchange:
    asked = topic.ask.pick(rng, held)
    if value is None:
        answer = f"You have not told me your {topic.label}."
        return Exchange(
            "memory", asked, answer, f"Your {topic.label} was not mentioned.", ("contains", ("not told",)), "Unknown."
        )
    answer = f"Your {topic.label} is {value}."
    return Exchange(
        "memory", asked, answer, f"Earlier the user said: {topic.label} is {value}.", ("contains", (value,)), value
    )


def things(rng: random.Random, held: bool, count: int) -> tuple[Exchange, list[tuple[str, str]]]:
    """Where things are: told together, asked for one by one."""
    nouns: dict[str, str] = {}
    while len(nouns) < count:
        nouns[noun(rng, held)] = (PLACES if held else _ANYWHERE).pick(rng, False)
    told = " ".join(
        _THINGS.pick(rng, held).replace("<noun>", thing).replace("<place>", place) for thing, place in nouns.items()
    )
    exchange = Exchange(
        "memory",
        told,
        _ACKS[0],
        "The user tells me something. I keep it in mind.",
        ("contains", ("remember",)),
        "Noted.",
    )
    return exchange, list(nouns.items())


_WHERE = Asks(
    ["Can you tell me where the <noun> is?", "I am looking for my <noun>. Where is it?"],
    orders=("(say|remember|recall|repeat|find out|remind me) where (the|my) <noun> (is|was|lies|stands)", "(find|locate|look for|search) (the|my) <noun>"),
    things=("the (place|room|location) (of|for|with) (the|my) <noun>", "(the|my) <noun>'s (place|location)", "the (place|room) where (the|my) <noun> is"),
    wonders=("where (the|my|our) <noun> (was|lies|stands|went|can be found|should be|could be)", "where (I put|I left|I keep|I hid|to find|I can find|to look for) (the|my) <noun>", "where my <noun> is", "(in which|in what|which) (place|room) (the|my) <noun> is(| in)"),
    wholes=("Where (is|was|are|lies|stands|went) (the|my|our) <noun>(| now| again)?", "Where (did I put|do I find|can I find|did I leave|do I keep|did I hide|can I get|should I look for|must I look for|have I put|do I have to look for) (the|my) <noun>(| again)?", "In (which|what) (place|room) (is|was|did I leave|do I find) (the|my) <noun>?", "(Tell me|Do you remember|Do you know) where (the|my) <noun> is(|?)", "I (need|want|miss|lost|cannot find|can't find|am missing|search|forgot|look for) (the|my) <noun>(. Where is it?|, where is it?|. Do you know where it is?|. Where did I put it?|, where did I leave it?|. Where was it?| now. Where?)", "(Have you seen|Do you see|Where on earth is) my <noun>?", "What (room|place) (is|holds|has) (the|my) <noun>(| in)?", "The <noun>, where (is|was) it?"),
)  # fmt: skip


def where(rng: random.Random, held: bool, thing: str, place: str) -> Exchange:
    asked = _WHERE.pick(rng, held).replace("<noun>", thing)
    return Exchange(
        "memory",
        asked,
        f"The {thing} is in the {place}.",
        f"Earlier the user said: {thing}, {place}.",
        ("contains", (place,)),
        place,
    )
