"""What the starter knows about mlx-serve: each fact has one answer and many ways to ask for it."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """`names` finish "What is …?", `tasks` finish "How do I …?", `asks` are whole questions; `held_*` are for the evaluation alone.

    `must` are the words without which an answer is wrong; `short` is the answer in one word, where there is one.
    """

    answer: str
    must: tuple[str, ...]
    names: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    held_names: tuple[str, ...] = ()
    held_tasks: tuple[str, ...] = ()
    held_asks: tuple[str, ...] = ()
    short: str | None = None


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split(";") if line.strip())


FACTS: list[Fact] = []


def _fact(
    answer: str,
    must: str,
    names: str = "",
    tasks: str = "",
    asks: str = "",
    held_names: str = "",
    held_tasks: str = "",
    held_asks: str = "",
    short: str | None = None,
) -> None:
    """Lists are separated by semicolons, `must` by bars."""
    FACTS.append(
        Fact(
            answer,
            tuple(must.split("|")),
            _lines(names),
            _lines(tasks),
            _lines(asks),
            _lines(held_names),
            _lines(held_tasks),
            _lines(held_asks),
            short,
        )
    )


def _command(
    command: str, answer: str, must: str, tasks: str, held_tasks: str, asks: str = "", held_asks: str = ""
) -> None:
    """A command can be asked for by its name and by what it is good for."""
    word = command.removeprefix("mlx-serve ")
    _fact(
        answer,
        must,
        names=f"`{command}`; {command}; the {word} command; `{word}`",
        tasks=tasks,
        asks=asks,
        held_names=f"the command {command}; the `{word}` command",
        held_tasks=held_tasks,
        held_asks=held_asks,
    )


# --- what it is ---
_fact(
    "mlx-serve is a daemon that serves MLX models on your own machine, over OpenAI's and Ollama's HTTP.",
    "daemon|MLX|OpenAI",
    names="mlx-serve; MLX Serve; this program; mlx serve; the mlx-serve (program|project|software|daemon)",
    asks="What does mlx-serve do?; What is mlx-serve (good|used|made) for?; Explain mlx-serve (in one sentence|briefly|shortly).",
    held_names="the thing called mlx-serve; this mlx-serve program",
    held_asks="Can you explain what mlx-serve is?; Give me a description of mlx-serve.",
)
_fact(
    "mlx-serve runs on Apple silicon with Metal, on Linux with an NVIDIA GPU (CUDA), and on Linux CPUs.",
    "Apple|Linux|CUDA",
    names="(the|a) supported (platform|hardware|system)(|s); the hardware that mlx-serve supports",
    asks="(Where|On what|On which (machines|computers|systems|platforms|hardware)) does (mlx-serve|it) run?; Does (mlx-serve|it) "
    "(run|work) on (Linux|a Mac|macOS|Apple silicon|NVIDIA GPUs|CUDA|CPUs)?; Do I need a (Mac|GPU|NVIDIA card)(| for mlx-serve)?; "
    "Which (platforms|systems|GPUs|machines) (are supported|does mlx-serve support)?",
    held_asks="Is Linux supported by mlx-serve?; Can mlx-serve run on my Mac?; Can I use mlx-serve with an NVIDIA card?",
)
_fact(
    "mlx-serve needs Python 3.11 or newer.",
    "3.11",
    names="the (required|needed|minimum|lowest) Python version; the Python version (that|which) mlx-serve needs",
    asks="(Which|What) (version of Python|Python version|Python) (do I need|is needed|is required|does mlx-serve need)?; "
    "Does (mlx-serve|it) (work|run) (with|on) Python (3.9|3.10|3.11|3.12|3.13)?; How new must (my|the) Python be?",
    held_asks="Which Python must I have for mlx-serve?; What Python does it require?",
)
_fact(
    "Install it with `pipx install mlx-serve`, `pip install mlx-serve` or `brew install`.",
    "pip install mlx-serve|brew",
    tasks="install (mlx-serve|it|this program|the program)(| on my machine| with pip| with brew); (get|set up) mlx-serve(| on my (Mac|machine|computer))",
    asks="Can I install (it|mlx-serve) with (pip|pipx|brew|Homebrew)?; Is there a (pip|brew|Homebrew) package?",
    held_tasks="install mlx-serve on this computer; get mlx-serve installed",
    held_asks="Is mlx-serve on pip?; Can Homebrew install mlx-serve?",
)
_fact(
    "The extras are `cuda` (MLX for NVIDIA), `vlm-convert` (torch and torchvision for some processors) and `dev`.",
    "cuda|vlm-convert|dev",
    names="the extras; the pip extras of mlx-serve; the optional (extras|dependencies)",
    asks="(Which|What) extras (are there|does (mlx-serve|the package) have)?; (Which|What) extra (do I need|is) for (NVIDIA|CUDA|my NVIDIA card)?",
    held_asks="Which pip extras exist?; What optional extras does mlx-serve have?",
)
_fact(
    "`make demo` starts a daemon in a temporary home, lets the starter model answer one question, and stops the daemon.",
    "make demo",
    names="`make demo`; make demo",
    tasks="(see|try) (a|the) demo; try (everything|it|mlx-serve) once without installing",
    held_names="the demo; the command make demo",
    held_tasks="have the demo run once",
)
_fact(
    "`make test` runs every test, from nothing.",
    "make test",
    names="`make test`; make test",
    tasks="run (all|every one of) (the|your) tests; run the (tests|test suite)(| of mlx-serve)",
    held_names="the command make test",
    held_tasks="run every test of mlx-serve; run the whole test suite",
)
_fact(
    "I am starter, a language model of a few million parameters that comes with mlx-serve. I was trained on synthetic text, for trying and testing.",
    "starter|few million|synthetic",
    names="starter; the starter (model|); the built-in model; `starter`; the model called starter; the starter language model",
    asks="(Who|What) are you?; What('s| is) your name?; (Introduce|Describe) yourself.; Tell me (about yourself|who you are|what you are).; "
    "Which model (are you|is this|am I (talking|speaking) to|answers here)?; (How|On what) were you (trained|made)?; Are you (ChatGPT|Qwen|a large model|"
    "a big model|an AI|a language model|a robot|a human|Llama)?; How (big|large|small) are you?; How many parameters do you have?; "
    "What kind of model are you?; Who (made|trained|built) you?; (Say|Tell me) (something|a bit) about yourself.",
    held_asks="May I ask who you are?; So what are you?; Please introduce yourself to me.; What is the name of this model?; "
    "Tell me which model you are.; Are you a small model?; What were you trained on?",
)
_fact(
    "I can answer questions about mlx-serve, transform text, do small sums, remember what you tell me, write JSON and call tools. I am small, so check what I say.",
    "mlx-serve|JSON|tools",
    asks="What can you do(|for me)?; (How|With what) can you help( me|)?; What are you (good|useful) (at|for)?; What are your (abilities|skills|talents|limits)?; "
    "(Help|help)!; What (do|should) I (do|ask|ask you)(| here)?; What do you know?",
    held_asks="What are you able to do?; Which things can you do?; How can you help me today?; What is it that you can do for me?",
)
_fact(
    "There are four built-in models: `starter` (chat), `starter-vl` (vision), `starter-embed` (embeddings) and `starter-rerank` (reranking).",
    "starter-vl|starter-embed|starter-rerank",
    names="the built-in models; the starter models; the models that (come with|are part of) mlx-serve",
    asks="(Which|What) models (come with mlx-serve|are built in|are included|are shipped)?; How many (built-in|starter) models are there?; "
    "Are there (models|any models) (built in|included)?; Is there a built-in (vision|embedding|reranker|reranking) model?",
    held_asks="Which built-in models are there?; What models does mlx-serve come with?",
    held_names="the four starter models",
)
_fact(
    "mlx-serve serves four kinds of models: llm, vlm, embedding and reranker.",
    "llm|vlm|embedding|reranker",
    names="the (kinds|types) of models; the model (types|kinds); the values of --type",
    asks="(Which|What) (kinds|types|sorts) of models (can mlx-serve serve|are there|are supported|does it serve)?; Does (it|mlx-serve) (serve|support) "
    "(vision models|embeddings|embedding models|rerankers|vlm models|llm models)?",
    held_asks="What types of model does mlx-serve support?; Can it serve rerankers?; Which model types are there?",
)

# --- the life of the daemon ---
_command(
    "mlx-serve start",
    "`mlx-serve start` starts the daemon in the background and returns when it is ready.",
    "mlx-serve start",
    tasks="(start|launch|run|bring up|boot) (the|a|mlx-serve's) (daemon|server|service|process)(| in the background); (start|launch) mlx-serve; "
    "(start|launch|bring up) (it|mlx-serve) in the background",
    held_tasks="get the daemon started; start up the server; launch the mlx-serve daemon",
    asks="(Which|What) command (starts|launches) (the daemon|the server|mlx-serve|it)?; How is (the daemon|the server|mlx-serve) (started|launched)?",
    held_asks="What starts the server?; With which command does the daemon start?",
)
_command(
    "mlx-serve start --foreground",
    "`mlx-serve start --foreground` keeps the daemon in the terminal instead of the background.",
    "--foreground",
    tasks="(start|run|keep) (the|a) (daemon|server) in (the foreground|my terminal|the terminal|this terminal|front); start (mlx-serve|it|the daemon) without the background",
    held_tasks="run mlx-serve in the foreground; have the daemon stay in my terminal",
    asks="What does (the|) --foreground (flag|option|) (do|mean)?; (Which|What) (flag|option) (keeps|holds) the daemon in the (foreground|terminal)?",
)
_command(
    "mlx-serve start --preload",
    "`mlx-serve start --preload NAME` loads a model as soon as the daemon starts.",
    "--preload",
    tasks="(load|preload) a model (at|on) (the start|startup|once); (load|preload|have) (a|my|the) model (ready|loaded|in memory) when the daemon starts; preload a model",
    held_tasks="preload my model at startup; have a model loaded at the start of the daemon",
    asks="What does (the|) --preload (flag|option|) (do|mean)?; (Which|What) (flag|option) (loads|preloads) a model at (startup|the start)?",
)
_command(
    "mlx-serve start --port",
    "`mlx-serve start --port P` starts the daemon on another port. Several daemons can live side by side, each with a port of its own.",
    "--port",
    tasks="(change|set|choose|use) (the|another|a different) port; start (the daemon|it|mlx-serve|a second daemon) on (another|a different|my own) port; "
    "(run|have|start) (two|several|many|more) (daemons|servers)(| at once| side by side)",
    held_tasks="pick another port for the daemon; run two daemons on one machine; start the server with a different port",
    asks="Can I (run|have) (two|several) (daemons|servers)?; What does (the|) --port (flag|option|) (do|mean)?; Can the port be changed?",
    held_asks="Can I choose a different port?; Can several daemons run at once?",
)
_command(
    "mlx-serve start --host",
    "`mlx-serve start --host H` binds the daemon to another address; the default is 0.0.0.0.",
    "--host",
    tasks="(change|set|choose) the (address|host|address to bind|bind address); (bind|listen) (to|on) (localhost|127.0.0.1|another address|one address)(| only)",
    held_tasks="set another host address; bind the daemon to 127.0.0.1",
    asks="What does (the|) --host (flag|option|) (do|mean)?; (Which|What) flag sets the (address|host)?",
)
_command(
    "mlx-serve start --config",
    "`mlx-serve start --config FILE` reads the settings from another file.",
    "--config FILE",
    tasks="use (another|a different|my own) (config|configuration|settings) file; (start|run) (the daemon|it|mlx-serve) with (another|my own|a different) (config|configuration|settings file)",
    held_tasks="start with a configuration file of my own; have the daemon read another settings file",
)
_command(
    "mlx-serve start --models-dir",
    "`mlx-serve start --models-dir DIR` keeps the models in another folder; the default is ~/.mlx-serve/models.",
    "--models-dir|~/.mlx-serve/models",
    tasks="(change|move|set|choose) (where the models are kept|the models folder|the folder of the models|the models directory|where models are stored); "
    "(keep|store|put|save) (the|my) models in another (folder|directory|place); use (another|a different) (models folder|folder for models|disk for my models)",
    held_tasks="put the models in a different folder; have the models directory on a different disk",
    asks="Where are (the|my) models (kept|stored|saved|on disk)?; In which (folder|directory) are (the|my) models?; (Which|What) flag sets the models (folder|directory)?",
    held_asks="Which folder holds the models?; Where does mlx-serve keep models?",
)
_command(
    "mlx-serve start --log-level",
    "`mlx-serve start --log-level L` sets how much the daemon logs; the default is INFO.",
    "--log-level|INFO",
    tasks="(change|set|choose) the (log level|level of the log|logging level); (see|get|have|log) (more|less)(| messages) in the log; make the log (quieter|louder|more verbose)",
    held_tasks="set a different log level; get more from the log",
    asks="What is the (default|usual) log level?; (Which|What) log level is the default?",
)
_command(
    "mlx-serve status",
    "`mlx-serve status` shows what runs: pid, uptime, address, memory, loaded models and the queue.",
    "mlx-serve status|uptime",
    tasks="(see|check|know|find out|tell) (whether|if) (the daemon|the server|it|mlx-serve) (runs|is running|is up|is alive|works); (see|show|get|find) the (uptime|pid|address|status|state)(| of the daemon| of the server)",
    held_tasks="check that the daemon is running; find out the uptime; see what state the server is in",
    asks="Is (the daemon|the server|mlx-serve) (running|up|alive)?; (Which|What) command shows (the uptime|the pid|the status|what runs)?; How long has (the daemon|it) been (running|up)?",
    held_asks="What shows me whether the daemon runs?; Which command tells the pid of the daemon?",
)
_command(
    "mlx-serve stop",
    "`mlx-serve stop` lets running requests finish and stops the daemon; `--force` stops it now, `--all` stops every daemon.",
    "mlx-serve stop|--force",
    tasks="(stop|end|shut down|turn off|halt|quit|kill|terminate) (the|my) (daemon|server|process|service); (stop|shut down|quit|end|kill) (mlx-serve|it)(| now| at once| by force); "
    "(stop|end|shut down) (all|every) (daemons|daemon|servers)",
    held_tasks="bring the daemon to a stop; shut the server down; stop mlx-serve right now",
    asks="(Which|What) command (stops|ends|shuts down) (the daemon|the server|mlx-serve|it)?; What does (stop|) --(force|all) do?; How is the (daemon|server) stopped?",
    held_asks="What stops the server?; With which command does the daemon stop?",
)
_fact(
    "Commands that need a daemon start one in the background when none runs. `status`, `stop`, `ps` and `logs` never start one.",
    "start|status|stop|ps|logs",
    asks="Do I (have|need) to start the daemon (first|myself|by hand)?; (Does|Will) (a|the) (command|daemon) start (by itself|the daemon|automatically|on its own)?; "
    "Which commands (never|do not) start (a|the) daemon?; What happens (when|if) no daemon (runs|is running)?; What is (autostart|the autostart)?",
    held_asks="Must I start the daemon myself?; Will the daemon start all on its own?; What if no daemon is running?",
)
_fact(
    "Set `MLX_SERVE_NO_AUTOSTART=1`: then commands end with exit status 3 instead of starting a daemon.",
    "MLX_SERVE_NO_AUTOSTART",
    names="`MLX_SERVE_NO_AUTOSTART`; MLX_SERVE_NO_AUTOSTART; the variable MLX_SERVE_NO_AUTOSTART",
    tasks="(stop|keep|prevent|forbid) commands from starting (a|the) daemon; (turn|switch) off (the|) autostart; (disable|forbid|avoid) (the|) autostart(| of the daemon)",
    held_tasks="prevent the autostart; switch the autostart of the daemon off",
)

# --- models ---
_command(
    "mlx-serve pull",
    "`mlx-serve pull SOURCE` brings a model into the store. SOURCE is owner/name, an alias, a local folder or a built-in such as starter.",
    "mlx-serve pull",
    tasks="(download|fetch|get|install|pull|add|obtain|import) (a|another|the|some|my|a new) (model|llm|checkpoint|vision model|language model|embedding model)(| from the hub| from a folder| from Hugging Face); "
    "(add|import|use|bring in) (a|my) (local folder|folder|model folder|model of my own); (get|download|pull) (models|the starter|starter|new models|Qwen)",
    held_tasks="bring a model onto my machine; get hold of a new model; download one more model; fetch some model from Hugging Face",
    asks="(Which|What) command (downloads|fetches|pulls|gets|adds|installs) (a model|models)?; What can SOURCE be?; Where can (models|a model) (come from|be pulled from)?; "
    "Can I (pull|use|add) (a local folder|a model from Hugging Face|my own model)?",
    held_asks="What downloads a model?; With which command are models fetched?; May I bring my own model?",
)
_command(
    "mlx-serve pull --type",
    "`mlx-serve pull SOURCE --type T` says what the model is: llm, vlm, embedding or reranker. Without it the type is detected.",
    "--type|llm",
    tasks="(say|set|choose|tell|force) (the type|which type|what kind|the kind)(| of a model| a model is| a model has); (set|choose|force) the (type|kind) of (a|the) (model|pull)",
    held_tasks="force the type of my model; tell mlx-serve which kind of model it is",
    asks="What does (the|) --type (flag|option|) (do|mean)?; Is the (type|kind) of a model (detected|found|guessed)?; How (is|does it know) the type of a model(| detected| found)?",
)
_command(
    "mlx-serve pull --quantize",
    "`mlx-serve pull SOURCE --quantize BITS` quantizes the model while it is pulled.",
    "--quantize",
    tasks="quantize (a model|it|the model) (while|when) (I pull|pulling|downloading|I download)(| it); (pull|download|get|fetch) (a model|it) (quantized|in 4 bits|with 4 bits|with 8 bits)",
    held_tasks="download a model and quantize it at the same time; pull a model with 4 bits at once",
    asks="What does (the|) --quantize (flag|option|) (do|mean)?; Can I quantize (while|when) pulling?",
)
_command(
    "mlx-serve pull --revision",
    "`mlx-serve pull SOURCE --revision R` takes that revision of the repository.",
    "--revision",
    tasks="(pull|get|download|choose|take) (a certain|a given|an older|another|one) (revision|version|commit|branch)(| of a model| of the repository)",
    held_tasks="have an older version of a model pulled; choose which revision is downloaded",
    asks="What does (the|) --revision (flag|option|) (do|mean)?",
)
_command(
    "mlx-serve pull --name",
    "`mlx-serve pull SOURCE --name NAME` gives the model a name of your choice.",
    "--name",
    tasks="(give|choose|set) (a|the|my own|another) name (when|while) pulling; (pull|store|save|get) a model under (another|my own|a different) name; name (a|the) model (I pull|when I pull it|myself)",
    held_tasks="choose a name for the model that I pull; pull a model under a name of my own",
    asks="What does (the|) --name (flag|option|) (do|mean)?",
)
_command(
    "mlx-serve pull --keep-source",
    "`mlx-serve pull SOURCE --quantize BITS --keep-source` keeps the full model too; without it only the quantized one stays.",
    "--keep-source",
    tasks="(keep|have|store|save) (the full model|the original|both models|the unquantized model|the source)(| too| as well)(| when quantizing| after quantizing| while I quantize); pull a quantized model (and|but) keep the (original|full one|full model)",
    held_tasks="quantize at the pull without losing the original; have both the full model and the small one",
    asks="What does (the|) --keep-source (flag|option|) (do|mean)?; Is the (full model|original|source) (kept|deleted|removed|thrown away) (after|when|while) (quantizing|--quantize|a pull with --quantize)?",
    held_asks="What happens to the full model when I pull with --quantize?",
)
_fact(
    "`mlx-serve pull owner/name` takes a model from the Hugging Face hub: the files are checked as they arrive, and an interrupted pull goes on where it stopped.",
    "owner/name|hub",
    names="the hub; the Hugging Face hub; pulling from the hub; a pull from Hugging Face; an interrupted (pull|download)",
    tasks="(resume|continue|go on with) (a|an interrupted|my|the) (pull|download); pull (owner/name|from the hub|a repository of the hub); (use|reach) the (hub|Hugging Face hub)",
    asks="What happens (when|if) (a|the) (pull|download) is (interrupted|stopped|cut off)?; Does a pull (resume|go on|continue|start again)?; (Does|Can) mlx-serve (download|pull|fetch) from (Hugging Face|the hub)?; Are (downloads|pulled files|the files of a pull) (checked|verified|resumed)?",
    held_names="models from the Hugging Face hub",
    held_tasks="go on with a pull that was interrupted",
    held_asks="Can a broken download be continued?; What if my connection fails in the middle of a pull?",
)
_fact(
    "Set `HF_TOKEN` to pull private or gated models; the token that the hub's own command has saved is found too.",
    "HF_TOKEN",
    names="`HF_TOKEN`; HF_TOKEN; the (hub token|token of the hub|token for the hub|Hugging Face token)",
    tasks="(pull|download|get|use) (a|my) (private|gated) (model|repository)(| from the hub); (give|set|use|pass) (a|my|the) (token|Hugging Face token|hub token)(| for the hub| to a pull); log in to (the hub|Hugging Face)",
    asks="(Which|What) variable (holds|has|sets) the (token|hub token|Hugging Face token)?; (Can I|How do I) pull (gated|private) models?; Do I need a (token|login) (to pull|for private models|for gated models)?",
    held_names="the variable HF_TOKEN",
    held_tasks="fetch a gated model with my token",
    held_asks="Where do I put my Hugging Face token?",
)
_fact(
    "Set `HF_ENDPOINT` to the address of another hub or mirror; `HF_HUB_OFFLINE=1` fetches nothing and uses the hub's cache alone.",
    "HF_ENDPOINT|HF_HUB_OFFLINE",
    names="`HF_ENDPOINT`; HF_ENDPOINT; `HF_HUB_OFFLINE`; HF_HUB_OFFLINE; a mirror of the hub",
    tasks="(use|pull from|set) (a mirror|another hub|a mirror of the hub|a hub of my own); (work|pull|stay) offline; pull without (the|a) network",
    asks="(Which|What) variable (sets|names|changes) the (hub|mirror|address of the hub)?; Can I use (a mirror|another hub)?; Does (a pull|pull) work offline?",
    held_names="the variable HF_HUB_OFFLINE",
    held_tasks="pull from a mirror of Hugging Face",
    held_asks="How can pulls go to another hub?",
)
_command(
    "mlx-serve quantize --bits",
    "`mlx-serve quantize NAME --bits B` sets the bits of each weight: 2, 3, 4, 5, 6 or 8; the default is 4.",
    "--bits|2, 3, 4, 5, 6 or 8",
    tasks="(choose|set|change) (the bits|how many bits|the number of bits)(| of each weight| of a quantized model); quantize (to|with|in) (2|3|5|6|8) bits",
    held_tasks="pick the bits for a quantized copy; tell quantize how many bits to use",
    asks="What does (the|) --bits (flag|option|) (do|mean)?; (Which|What|How many) bits (are possible|can I use|does quantize take|are allowed|are there)?; What is the default number of bits?",
    held_asks="How many bits can a weight have?; Which numbers of bits exist?",
)
_command(
    "mlx-serve list",
    "`mlx-serve list` (or `ls`) shows the installed models.",
    "mlx-serve list",
    tasks="(list|see|show|display|view) (all|the|my|every one of my|all my|all the|all of my) (models|installed models|downloaded models); (see|know|find out|check) (which|what) models (I have|are installed|are there|are on my machine|I installed|I pulled|are in the store)",
    held_tasks="find out what models are installed here; see every model I have; get a list of models",
    asks="(Which|What) models (do I have|are installed|have I got|did I install)?; (Which|What) command (lists|shows) (the|my|installed) models?; What does ls do?",
    held_asks="What lists my models?; With which command do I see the installed models?",
)
_command(
    "mlx-serve show",
    "`mlx-serve show NAME` shows one model in full.",
    "mlx-serve show",
    tasks="(see|show|get|view|read|find) (the details|all details|everything|more|information|details|the context length|the parameters) (of|about) (a|one|my|the) (model|installed model); inspect (a|one|my|the) model",
    held_tasks="look at one model in detail; get more information about a model; inspect one of my models",
    asks="(Which|What) command (shows|describes) (one model|a model|the details of a model)?",
)
_command(
    "mlx-serve remove",
    "`mlx-serve remove NAME` (or `rm`) removes a model.",
    "mlx-serve remove",
    tasks="(remove|delete|erase|uninstall|drop|throw away) (a|one|the|my|an old|an installed) (model|checkpoint)(| from disk| from the store| from my machine); (remove|delete|erase) (models|the starter|several models|old models|it from disk); get rid of (a|the|an old) model",
    held_tasks="get rid of one of my models; delete some model I installed; erase that model from the disk",
    asks="(Which|What) command (removes|deletes|erases) (a model|models)?; What does rm do?",
    held_asks="What deletes a model?; With which command are models removed?",
)
_command(
    "mlx-serve copy",
    "`mlx-serve copy A B` (or `cp`) gives model A a second name B.",
    "mlx-serve copy",
    tasks="(copy|duplicate) (a|the|my) model; (give|add) (a|my|the) model (a second|another|one more) name; (make|create) a (copy|second name) (of|for) a model; (rename|name) a model",
    held_tasks="have one model under two names; make a second name for my model; duplicate one model",
    asks="(Which|What) command (copies|duplicates) a model?; What does cp do?",
)
_command(
    "mlx-serve quantize",
    "`mlx-serve quantize NAME --bits 4` writes a quantized copy, called NAME-4bit unless you give `--name`.",
    "mlx-serve quantize",
    tasks="(quantize|compress|shrink) (a|my|the|an installed) model(| to 4 bits| to 8 bits|); make (a|my|the) model (smaller|use less memory|take less memory); (make|get|create) a (quantized|4-bit|8-bit|smaller) (copy|version)(| of a model)",
    held_tasks="turn my model into a 4-bit one; create a quantized copy of some model; shrink one of my models",
    asks="(Which|What) command (quantizes|shrinks|compresses) a model?; What is the name of (a|the) quantized (copy|model)?",
    held_asks="What quantizes a model?; How is the quantized copy called?",
)
_command(
    "mlx-serve quantize --mode",
    "The modes of `quantize` are affine, mxfp4, nvfp4 and mxfp8.",
    "affine|mxfp4|nvfp4|mxfp8",
    tasks="(choose|set|change) the (mode of quantization|quantization mode|quantize mode); quantize with (mxfp4|nvfp4|mxfp8|affine)",
    held_tasks="pick a quantization mode; change the mode of a quantization",
    asks="(Which|What) (quantization modes|modes of quantization|modes) (are there|exist|are supported|can I use|does quantize have)?; What does (the|) --mode (flag|option|) (do|mean)?; Is (mxfp4|nvfp4|mxfp8|affine) supported?",
    held_asks="Which modes does quantization have?; What modes can quantize use?",
)
_command(
    "mlx-serve quantize --group-size",
    "`mlx-serve quantize NAME --bits B --group-size G` sets how many weights share one scale.",
    "--group-size",
    tasks="(choose|set|change) the group size(| of the quantization| when quantizing)",
    held_tasks="pick another group size for quantization",
    asks="What does (the|) --group-size (flag|option|) (do|mean)?",
)
_command(
    "mlx-serve run",
    '`mlx-serve run NAME "PROMPT"` gives one answer; without a prompt it begins a chat. It also reads a piped prompt.',
    "mlx-serve run",
    tasks="(chat|talk|speak) (with|to) (a|the|my) model(| in the terminal); (ask|use|try) (a|the|my) model(| a question| from the terminal| in the terminal); (start|begin|open|have) (a|an interactive) chat(| with a model); (send|give|pipe) a (prompt|question)(| to a model)",
    held_tasks="have a chat with my model; ask some model a question; talk with the starter in my terminal",
    asks="(Which|What) command (starts a chat|runs a model|asks a model)?; Can I (pipe a prompt|chat in the terminal)?",
    held_asks="What begins a chat?; With which command do I talk to a model?",
)
_command(
    "mlx-serve run --image",
    "`mlx-serve run NAME --image FILE` gives the model a picture; it needs a vision model.",
    "--image",
    tasks="(send|give|show|add|attach|pass) (a picture|an image|images|pictures|a photo)(| to a model| to the model); ask about (a picture|an image|a photo); use (a picture|an image) (in a chat|with run)",
    held_tasks="show a model some picture; attach a photo to my question",
    asks="What does (the|) --image (flag|option|) (do|mean)?; Can (I|run) (use|take|send) (images|pictures)?",
)
_command(
    "mlx-serve run --system",
    "`mlx-serve run NAME --system S` sets the system prompt.",
    "--system",
    tasks="(set|give|use|change|write|add) (a|the|my own) system (prompt|message)(| with run)",
    held_tasks="add a system prompt of my own; pass the system message to run",
    asks="What does (the|) --system (flag|option|) (do|mean)?; (Which|What) (flag|option) sets the system prompt?",
)
_command(
    "mlx-serve run --format",
    "`mlx-serve run NAME --format json` forces JSON; with a schema file the answer follows the schema.",
    "--format|json",
    tasks="(get|force|have|make) (JSON|a JSON answer|an answer in JSON|structured output|the model answer in JSON)(| from run); (use|follow|give) a (JSON schema|schema file|schema)",
    held_tasks="force the answer to be JSON; have an answer that follows a schema",
    asks="What does (the|) --format (flag|option|) (do|mean)?; Can (I|run) (get|give|force) JSON?; (Which|What) (flag|option) (gives|forces) JSON?",
)
_command(
    "mlx-serve run --think",
    "`mlx-serve run NAME --think` turns thinking on and `--no-think` turns it off.",
    "--think|--no-think",
    tasks="(turn|switch) (thinking|the thinking|reasoning) (on|off); (disable|enable|stop|allow) (thinking|the thinking|reasoning)(| with run); make (a|the) model (think|not think|stop thinking)",
    held_tasks="have the model answer without thinking; switch thinking on for a model",
    asks="What does (the|) (--think|--no-think) (flag|option|) (do|mean)?; (Which|What) (flag|option) (turns thinking off|turns thinking on|disables thinking|stops the thinking)?",
)
_command(
    "mlx-serve run --verbose",
    "`mlx-serve run NAME --verbose` also prints times and token counts.",
    "--verbose",
    tasks="(see|print|show|get) (the|) (timings|token counts|speed|times|tokens per second)(| of an answer| after an answer)",
    held_tasks="print how fast an answer was",
    asks="What does (the|) --verbose (flag|option|) (do|mean)?",
)
_fact(
    "In a chat `/set` changes settings, `/show` shows them, `/clear` forgets the history and `/bye` leaves. Ctrl-C stops the answer, not the chat.",
    "/set|/show|/clear|/bye",
    names="the chat commands; the (slash commands|commands) (in|inside|of) (a|the) chat; /bye; /clear; /set; /show; `/bye`; `/clear`",
    tasks="(leave|end|quit|exit|close) (a|the) (interactive chat|chat); (clear|forget|reset) the (history|chat|chat history)(| of a chat); (stop|interrupt|cancel) (an answer|the answer)(| in a chat)",
    asks="(Which|What) commands (are there in|does) (the|a) chat(| have)?; What does Ctrl-C do(| in a chat)?",
    held_names="the slash commands of the interactive chat; `/set`",
    held_tasks="get out of the chat; make it forget the history of my chat; interrupt an answer while chatting",
)
_command(
    "mlx-serve ps",
    "`mlx-serve ps` shows the loaded models with size, backend, context, last use and until when they stay.",
    "mlx-serve ps",
    tasks="(see|show|list|check|know|find out) (which|what) models are (loaded|in memory|running|resident)(| right now| now); (see|show|list|view) (the|all) (loaded|running|resident) models; see (how much memory a model takes|when a model was last used)",
    held_tasks="find out which model is in memory; view every loaded model; list what is loaded",
    asks="(Which|What) models are (loaded|in memory|running)?; (Which|What) command (shows|lists) (loaded|running) models?; What is in memory(| now)?",
    held_asks="What shows the loaded models?; Which models are loaded at the moment?",
)
_command(
    "mlx-serve load",
    "`mlx-serve load NAME` brings a model into memory.",
    "mlx-serve load",
    tasks="(load|bring|put|get) (a|the|my) model (into|in) memory(| now| first); load (a|my|the|one) model(| ahead of time| by hand| before the first request); warm (a|the) model(| up)",
    held_tasks="put one of my models into memory; load some model by hand",
    asks="(Which|What) command (loads a model|brings a model into memory)?",
    held_asks="What loads a model?",
)
_command(
    "mlx-serve unload",
    "`mlx-serve unload NAME` puts a model out of memory and returns when the memory is free.",
    "mlx-serve unload",
    tasks="(unload|evict) (a|my|the|one) model(| now| by hand); (free|release|give back|get back) (the|) memory(| of a model| a model uses| a model takes); (put|take|throw|get) a model out of memory",
    held_tasks="take one of my models out of memory; release the memory of some model",
    asks="(Which|What) command (unloads a model|frees the memory|frees memory)?",
    held_asks="What unloads a model?",
)
_command(
    "mlx-serve logs",
    "`mlx-serve logs` shows the daemon's log; `-f` follows it and `-n N` shows the last N lines.",
    "mlx-serve logs|-f",
    tasks="(see|read|show|view|follow|watch|check|open|print) (the|) (log|logs|log file|daemon's log|log of the daemon|log messages)(|, live| of the server); (see|find out|know) what went wrong; see the last (20|50|100|ten) lines of the log",
    held_tasks="look into the log; follow the log of the daemon live; read what the daemon wrote",
    asks="(Which|What) command (shows|prints|follows) the (log|logs)?; What does logs -(f|n) do?; Where (is|are) the (log|logs)?",
    held_asks="What shows me the log?; With which command do I read the logs?",
)
_command(
    "mlx-serve config",
    "`mlx-serve config` shows the settings in force and where each came from; `--example` prints a settings file, `--path` says where the file is.",
    "mlx-serve config|--example|--path",
    tasks="(see|show|print|check|view|list) (the|all|my|the effective|the current) (settings|configuration|config)(| in force); (find out|see|know) where a setting (came|comes) from; (get|print|see) (an example|a sample) (config|configuration|settings file|of the settings)",
    held_tasks="view what settings are in force; print an example of a settings file; look at the configuration",
    asks="(Which|What) command (shows|prints) (the|my) (settings|configuration|config)?; What does config --(example|path) do?; (Which|What) settings are in force?",
    held_asks="What prints the settings?; Where does each setting come from?",
)
_command(
    "mlx-serve verify",
    "`mlx-serve verify` hashes the stored files again and tells which are damaged.",
    "mlx-serve verify",
    tasks="(verify|check) (the|my|all|a) (store|files|models|model|stored files|blobs)(| for damage| are not damaged); (see|find out|check) (if|whether) (a|my|the) (model|models|files|disk) (is|are) (damaged|intact|corrupt|broken|whole)",
    held_tasks="find out whether the files on disk are damaged; make sure that my models are intact; check the files of a model",
    asks="(Which|What) command (checks|verifies|hashes) (the|my) (files|models|store|blobs)?",
    held_asks="What checks the store for damage?",
)
_command(
    "mlx-serve gc",
    "`mlx-serve gc` frees the files that nothing names; `--dry-run` only says what it would free.",
    "mlx-serve gc|--dry-run",
    tasks="(free|clean|recover|reclaim|save) (disk space|space|the disk|up disk space|up space)(| on my disk); (delete|remove|clean up|free) (unused|leftover|old|unneeded) (blobs|files|data); collect garbage; clean up the store",
    held_tasks="get back some space on the disk; clean out files that nobody needs; delete the blobs that nothing uses",
    asks="(Which|What) command (frees|cleans) (disk space|space|the disk|unused files)?; What does (gc|) --dry-run do?; Is there a garbage (collector|collection)?; My disk is (full|nearly full)(|. What now|, what can I do)?",
    held_asks="What frees disk space?; Which command collects garbage?",
)
_command(
    "mlx-serve service",
    "`mlx-serve service` sets the daemon up with the system: install, start, stop, status, enable, disable and uninstall. It uses launchd on macOS and systemd --user on Linux.",
    "mlx-serve service|launchd|systemd",
    tasks="(start|run|launch) (the daemon|mlx-serve|it) (at|on|after) (login|boot|every boot|each login); (install|run|use|set up) (the daemon|mlx-serve|it) as a service; use (launchd|systemd)(| with mlx-serve| for the daemon)",
    held_tasks="have the daemon start at every login; make a system service of mlx-serve",
    asks="(Does|Can) (it|mlx-serve) (use|support|work with|run under) (launchd|systemd)?; (Which|What) (service|) commands (does service have|are there for the service)?; Can (it|mlx-serve|the daemon) start (at boot|at login|with my machine)?",
    held_asks="Can mlx-serve be a systemd service?; What about launchd?",
)
_command(
    "mlx-serve version",
    "`mlx-serve version` (or `--version`) prints the version.",
    "mlx-serve version",
    tasks="(see|find out|print|check|know|show) (the|which|my) version(| of mlx-serve| I have| is installed)",
    held_tasks="find out what version I have; print the version of the program",
    asks="(Which|What) version (is this|do I have|is installed|of mlx-serve is this)?",
    held_asks="What prints the version?",
)
_command(
    "mlx-serve completion",
    "`mlx-serve completion bash` prints the completions for your shell: bash, zsh or fish.",
    "mlx-serve completion",
    tasks="(get|install|set up|use|have|turn on) (shell|tab|bash|zsh|fish) (completion|completions)(| for my shell)",
    held_tasks="complete commands with the tab key; set up the completion of my shell",
    asks="(Is there|Does it have|Does mlx-serve have) (shell|tab|bash|zsh|fish) (completion|completions)?; (Which|What) shells (are supported|have completions)?",
)
_fact(
    "Add `--json` to any command: it prints one JSON document, or one per line for streams.",
    "--json",
    names="`--json`; the --json flag; --json",
    tasks="get (machine-readable output|output as JSON|JSON from a command|JSON output|output for scripts); use (mlx-serve|the commands|it) in (a script|scripts); (parse|read) the output (in|with) a script",
    held_names="the `--json` option",
    held_tasks="have a command print JSON; make the output machine-readable",
)
_fact(
    "Every command takes `--port P` to say which daemon it speaks to, and `--socket PATH` for a certain socket.",
    "--port|--socket",
    names="`--socket`; the --socket flag; --socket PATH",
    tasks="(say|choose|tell) which daemon (a command|the command|I) (speaks to|uses|talks to|means); (talk|speak) to (a second|another|a certain) daemon; use another socket",
    held_names="the --socket option",
    held_tasks="choose the daemon that a command speaks to",
)
_fact(
    "Set `NO_COLOR`: mlx-serve honours it. Output is plain anyway when it is not a terminal.",
    "NO_COLOR",
    names="`NO_COLOR`; NO_COLOR",
    tasks="(turn|switch) (off (the|) colours|colours off); (get|have|print) (plain output|output without colours|no colours); (disable|remove|stop) (the|) (colours|colors)",
    held_tasks="have no colours in the output; switch colors off",
)
_fact(
    "Exit status: 0 done, 1 the operation failed, 2 wrong usage, 3 no daemon, 130 interrupted.",
    "0|1|2|3|130",
    names="the exit (status|statuses|codes|code); exit (status|code) (0|1|2|3|130); the return codes; exit code 3",
    asks="What does exit (status|code) (0|1|2|3|130) mean?; (Which|What) exit (codes|statuses) (are there|does mlx-serve have|can I get)?; What is the exit (code|status) (when no daemon runs|for wrong usage|after Ctrl-C|for a failure|when it fails)?",
    held_names="the exit statuses of the commands",
    held_asks="Which exit status means that there is no daemon?; What do the exit codes mean?; I got exit status 3, what is it?",
)

# --- home, settings, places ---
_fact(
    "The home is ~/.mlx-serve, or where `MLX_SERVE_HOME` says. It holds config.yaml, models/, run/<port>.sock and logs/<port>.log.",
    "~/.mlx-serve|MLX_SERVE_HOME|config.yaml",
    names="`MLX_SERVE_HOME`; MLX_SERVE_HOME; the home(| folder| directory)(| of mlx-serve); the (folder|directory) ~/.mlx-serve; ~/.mlx-serve",
    tasks="(change|move|set) the home(| folder| directory)(| of mlx-serve)",
    asks="Where (is|does mlx-serve keep) (the home|its home|its files|everything|the socket|its data|my data)?; What is in (the home|~/.mlx-serve)?; Where is the (home|log file|socket|socket file|unix socket)?; (Which|What) files does mlx-serve keep?",
    held_names="the home folder of the daemon; the mlx-serve home directory",
    held_asks="Where does mlx-serve put its files?; Where do I find the socket?; What does the home folder hold?",
)
_fact(
    "The settings file is config.yaml in the home, ~/.mlx-serve/config.yaml.",
    "config.yaml",
    names="the (settings|config|configuration) file; config.yaml; `config.yaml`; the YAML file",
    asks="Where (is|do I find|do I put|lives) (the|my) (config|configuration|settings|config file|settings file|configuration file|YAML file)?; (Which|What) file (has|holds) the (settings|configuration)?; In (which|what) file (are|do I write) the settings?",
    tasks="(change|set|edit|write) (a setting|the settings|my settings|settings|the configuration)(| in a file| for good)",
    held_asks="Where are the settings?; Which file is the configuration in?; Where can I find config.yaml?",
    held_tasks="edit the configuration file",
)
_fact(
    "Flags win over environment variables, those over the YAML file, and that over the defaults.",
    "Flags|environment|YAML|defaults",
    names="the precedence(| of settings| of the settings); the order of the settings",
    asks="(Which|What) (setting|one|source) wins?; (Does|Do) (a flag|flags|the environment|environment variables|the YAML file) (win|win over the file|override the file|override the environment|come first)?; What (overrides|wins over) (the config file|the YAML file|the environment|the defaults)?; In (which|what) order are settings (read|applied)?",
    held_names="the order of precedence",
    held_asks="Do flags win over the environment?; Which setting takes precedence?",
)
_fact(
    "An unknown key or a bad value stops the start; the message names the file, the line, the key and the nearest valid name.",
    "stops|line|key",
    asks="What (happens|is) (when|if) (a setting|a key|the config|the settings file|my config) (is|has) (wrong|unknown|bad|misspelled|a wrong value|an unknown key|a mistake)?; What (happens|is) (with|when there is) (an unknown key|a bad value|a typo)(| in the config| in the settings)?",
    held_asks="What if I misspell a key in the config?; What does a bad value in the settings do?",
)
_fact(
    "Every setting is also an environment variable: `MLX_SERVE_<SECTION>_<KEY>`.",
    "MLX_SERVE_<SECTION>_<KEY>",
    tasks="(set|change|give) (a setting|settings|any setting) (with|by|in|through|from) (the|an) environment(| variable); use environment variables",
    asks="Can I (use|set) (environment variables|settings by environment|settings with environment variables)?; How are (the|) environment variables (named|called|spelled)?",
    held_tasks="use an environment variable for one of the settings",
    held_asks="What are the environment variables called?",
)


def _variable(name: str, default: str, meaning: str, wordings: str, short: str | None = None) -> None:
    _fact(
        f"`{name}` {meaning}; the default is {default}.",
        f"{name}|{default.split()[0]}",
        names=f"`{name}`; {name}; the (variable|environment variable) {name}; the default of {name}",
        asks=f"(Which|What) (variable|environment variable) {wordings}?; (Which|What) (is|does) (the variable|the environment variable|the variable called) {name}(| for| do)?",
        held_names=f"the environment variable called {name}; the meaning of {name}",
        held_asks=f"Tell me the (variable|environment variable) that {wordings}.",
        short=short,
    )


_variable("MLX_SERVE_HOST", "0.0.0.0", "is the address to bind", "(sets|changes|holds) the (address|host|bind address)")
_variable("MLX_SERVE_PORT", "8000", "is the port of the HTTP server", "(sets|changes|holds) the (port|HTTP port)")
_variable(
    "MLX_SERVE_MODELS_DIR",
    "~/.mlx-serve/models",
    "is the folder of the models",
    "(sets|changes|holds) the (models folder|folder of the models|models directory)",
)
_variable(
    "MLX_SERVE_LOG_LEVEL", "INFO", "says how much is logged", "(sets|changes|holds) the (log level|level of the log)"
)
_variable(
    "MLX_SERVE_PRELOAD_MODELS",
    "empty",
    "lists models to load at the start, separated by commas",
    "(lists|sets|names) (models to preload|the models to preload|the models loaded at the start|preloaded models)",
)
_variable(
    "MLX_SERVE_AUTO_DOWNLOAD",
    "false",
    "says whether a missing model is pulled on its first request",
    "(turns on|allows|switches on) (auto download|automatic downloads|the automatic pull|pulling missing models)",
)


def _setting(
    section: str, key: str, default: str, meaning: str, wordings: str, held: str, more: str = "", held_more: str = ""
) -> None:
    """`wordings` finish "Which setting …?"."""
    full = f"{section}.{key}"
    _fact(
        f"`{full}` {meaning}. Its default is {default}.",
        f"{full}|{default}",
        names=f"`{full}`; {full}; the (setting|option) (`{full}`|{full}|{key}); `{key}`; the default (of|for|value of) ({full}|{key}|`{full}`|`{key}`); {key}",
        asks=f"(Which|What) (setting|key|option) {wordings}?" + (f"; {more}" if more else ""),
        held_names=f"the meaning of the setting {full}; the key `{full}`; the default setting of {key}",
        held_asks=f"Name the setting that {held}." + (f"; {held_more}" if held_more else ""),
    )


_setting(
    "server",
    "host",
    "0.0.0.0",
    "is the address that the daemon binds",
    "(sets|is) the (address|bind address|host)",
    "sets the address",
    "(On which|Which|What) (address|host) does (the daemon|the server|it|mlx-serve) (listen|bind|listen on|bind to)?; What is the default (host|address)?",
    "Which address is bound by the daemon?",
)
_setting(
    "server",
    "port",
    "8000",
    "is the port of the HTTP server",
    "(sets|is) the (port|HTTP port)",
    "sets the port",
    "(On which|Which|What) port does (the daemon|the server|it|mlx-serve) (listen|use|listen on|run on|serve on)?; (What is|What's|Tell me) the (default|standard|usual|HTTP) port(| number| of mlx-serve)?; (Which|What) port (is it|do I use|is the default)?",
    "What port number does mlx-serve have?; Which port is used by default?; On what port do I reach the server?",
)
_setting(
    "server",
    "protected",
    "true",
    "turns protected mode on: requests from other machines are refused with 403 until an API key is set",
    "(turns|switches) (protected mode|the protected mode|protection) (on|off)",
    "turns protected mode off",
    "What is (protected mode|the protected mode)?; Why (is|are) (my request|requests|a request) from (another machine|other machines|the network) (refused|forbidden|blocked)?; Why do I get (a|) 403(| from another machine)?; What does protected mode do?",
    "Explain protected mode to me.; Why does another machine get 403?",
)
_setting(
    "server",
    "api_keys",
    "[] (none)",
    "lists the API keys that clients may use",
    "(lists|sets|holds) the (API keys|keys of the clients|api keys)",
    "holds the API keys",
    "How do I (set|add|use|require) (an API key|API keys|a key)?; Do I need an API key?; (Are|Is) (an API key|API keys) (needed|required)?",
    "How can I require a key?; Is an API key necessary?",
)
_setting(
    "server",
    "remote_management",
    "false",
    "allows pull, delete, copy and create from other machines",
    "(allows|permits) (remote management|managing models from other machines|pulling from other machines|remote pulls)",
    "allows remote management",
    "Can I (pull|delete|copy|manage) models (remotely|from another machine|over the network|from other machines)?",
    "Can another machine delete models?",
)
_setting(
    "server",
    "allowed_hosts",
    "[] (none)",
    "lists further Host names that requests may carry",
    "(lists|sets|allows) (further|more|the allowed) (Host names|hosts|host names)",
    "lists the allowed hosts",
)
_setting(
    "server",
    "cors_origins",
    "[localhost]",
    "lists the origins that web pages may call from",
    "(lists|sets) the (origins|CORS origins|web origins|allowed origins)",
    "sets the CORS origins",
    "How do I (set up|allow|configure) CORS(| for my web page)?; Can a web page (call|use) (mlx-serve|the server)?",
    "How is CORS configured?",
)
_setting(
    "server",
    "max_body_mb",
    "64",
    "limits the size of a request body, in megabytes",
    "(limits|sets) the (size of a request|request size|body size|size of the body|largest request)",
    "limits the size of a request body",
    "How (big|large) (may|can) a (request|body|request body) be?",
    "What is the largest request body?",
)
_setting(
    "server",
    "max_queue",
    "256",
    "limits how many requests may wait",
    "(limits|sets) (the queue|how many requests may wait|the length of the queue|the size of the queue|waiting requests)",
    "limits how many requests wait",
    "How many requests (may|can) (wait|be queued|stand in the queue)?; How long (is|may be|can be) the queue?",
    "How big can the queue get?",
)
_setting(
    "server",
    "request_timeout_seconds",
    "0",
    "is the time limit of a request in seconds; 0 means none",
    "(limits|sets) (the time of a request|the request timeout|how long a request may take|the timeout)",
    "limits the time of a request",
    "Is there a (request timeout|time limit for requests|timeout)?; How long may a request (take|run)?",
    "Do requests have a timeout?",
)
_setting(
    "server",
    "drain_seconds",
    "30",
    "is how many seconds running requests get to finish at a stop",
    "(sets|limits) (how long requests may finish|the drain time|how long a stop waits|the time to drain)",
    "sets how long a stop waits for requests",
    "How long does (stop|a stop|the daemon) wait for (running requests|requests)?",
    "How many seconds does a stop wait?",
)
_setting(
    "models",
    "directory",
    "~/.mlx-serve/models",
    "is the folder of the models",
    "(sets|is) the (folder of the models|models folder|models directory)",
    "sets the models folder",
)
_setting(
    "models",
    "preload",
    "[] (none)",
    "lists models to load when the daemon starts",
    "(lists|sets) (models to preload|the models to load at the start|preloaded models)",
    "lists the models to load at the start",
)
_setting(
    "models",
    "auto_download",
    "false",
    "says whether a missing model is pulled on its first request",
    "(allows|turns on|controls) (automatic downloads|auto download|the pull of missing models)",
    "turns automatic downloads on",
    "Does (it|mlx-serve|the daemon) (download|pull|fetch) (missing models|models) (automatically|by itself|on its own)?; Are missing models (downloaded|pulled)?",
    "Will a missing model be downloaded automatically?",
)
_setting(
    "models",
    "aliases",
    "{} (none)",
    "gives models other names",
    "(gives|sets|defines) (aliases|other names|short names|names for models)",
    "defines aliases",
    "How do I (set|define|add|make) (an alias|aliases)(| for a model)?; What is an alias?",
    "How can I add an alias?",
)
_setting(
    "models",
    "memory_limit",
    "auto",
    "limits the memory that loaded models may take",
    "(limits|sets) (the memory|memory|how much memory models take|the memory of the models)",
    "limits the memory of loaded models",
    "How do I limit (the|) memory(| use)?; How much memory (may|can|do) (models|the models) (take|use)?",
    "Can I limit how much memory models use?",
)
_setting(
    "cache",
    "max_llm_models",
    "3",
    "limits how many language models are loaded at once",
    "(limits|sets) (the number of loaded llms|how many llms are loaded|the number of language models|how many language models are loaded)",
    "limits how many language models are loaded",
    "How many (llms|language models|llm models) (can|may) be (loaded|in memory)(| at once)?",
    "How many language models fit at once?",
)
_setting(
    "cache",
    "max_vlm_models",
    "1",
    "limits how many vision models are loaded at once",
    "(limits|sets) (the number of loaded vlms|how many vision models are loaded|the number of vision models)",
    "limits how many vision models are loaded",
    "How many (vlms|vision models|vlm models) (can|may) be (loaded|in memory)(| at once)?",
    "How many vision models at once?",
)
_setting(
    "cache",
    "max_embedding_models",
    "3",
    "limits how many embedding models are loaded at once",
    "(limits|sets) (how many embedding models are loaded|the number of embedding models)",
    "limits how many embedding models are loaded",
    "How many embedding models (can|may) be (loaded|in memory)(| at once)?",
    "How many embedding models at once?",
)
_setting(
    "cache",
    "max_reranker_models",
    "2",
    "limits how many rerankers are loaded at once",
    "(limits|sets) (how many rerankers are loaded|the number of rerankers|the number of reranker models)",
    "limits how many rerankers are loaded",
    "How many (rerankers|reranker models) (can|may) be (loaded|in memory)(| at once)?",
    "How many rerankers at once?",
)
_setting(
    "cache",
    "ttl_seconds",
    "1800",
    "is how many seconds an unused model stays loaded",
    "(sets|limits|is) (how long a model stays loaded|how long unused models stay|the time to live|the TTL|how long a model stays in memory)",
    "sets how long a model stays in memory",
    "How long (does|will) (a|an unused|an idle) model (stay|remain|be kept) (loaded|in memory)?; When (is|does) (an unused model|a model|an idle model) (unloaded|leave the memory|go)?; What is the (TTL|time to live)?",
    "After how long is an unused model unloaded?; How many seconds does a model stay loaded?",
)
_setting(
    "cache",
    "prefix_cache_mb",
    "auto",
    "is the size of the prefix cache in megabytes",
    "(sets|limits) the (prefix cache|size of the prefix cache|prefix cache size)",
    "sets the size of the prefix cache",
    "How (big|large) is the prefix cache?; What is the prefix cache?",
    "What size has the prefix cache?",
)
_setting(
    "engine",
    "max_batch",
    "32",
    "limits how many sequences run in one batch",
    "(limits|sets) (the batch|the batch size|how many sequences run at once|how many requests run together)",
    "limits the batch size",
    "How many (requests|sequences) (run|are run|can run) (at once|together|in a batch|at the same time)?; How (big|large) (is|can be) (a|the) batch?",
    "What is the largest batch?",
)
_setting(
    "engine",
    "prefill_tokens_per_step",
    "512",
    "is how many prompt tokens one step reads",
    "(limits|sets) (the prefill|how many prompt tokens a step reads|prefill tokens|the prefill of a step)",
    "sets the prefill of a step",
    "How many (prompt tokens|tokens) (does one step|does a step|are) (prefill|read|prefilled in a step)?",
    "How many tokens are prefilled in one step?",
)
_setting(
    "engine",
    "context_length",
    "auto",
    "is the longest context in tokens",
    "(sets|limits) the (context|context length|longest context|size of the context)",
    "limits the context",
    "How do I (set|change|limit) the context(| length)?; How long (is|can be) the context?",
    "What sets the length of the context?",
)
_setting(
    "logging",
    "level",
    "INFO",
    "says how much is logged",
    "(sets|is) the (log level|logging level)",
    "sets the logging level",
)
_setting(
    "logging",
    "format",
    "json",
    "is the format of the log lines",
    "(sets|is) the (log format|format of the log|format of log lines)",
    "sets the format of the log",
    "(Which|What) format (has the log|do log lines have|is the log)?; Is the log (in|) JSON?",
    "What is the format of log lines?",
)
_setting(
    "metrics",
    "enabled",
    "true",
    "turns the Prometheus metrics on",
    "(turns|switches) (metrics|the metrics|Prometheus metrics) (on|off)",
    "turns the metrics off",
    "How do I (turn|switch) (off|on) (the|) metrics?; Are (the|) metrics (on|enabled)(| by default)?",
    "Are metrics on at the start?",
)

# --- HTTP ---


def _endpoint(path: str, answer: str, must: str, purposes: str, held: str, more: str = "", held_more: str = "") -> None:
    """`purposes` finish "Which endpoint …?"."""
    _fact(
        answer,
        must,
        names=f"`{path}`; {path}; the (endpoint|route|path) {path}; the {path} endpoint",
        asks=f"(Which|What) (endpoint|route|path|URL) {purposes}?" + (f"; {more}" if more else ""),
        held_names=f"the URL {path}; the endpoint called `{path}`",
        held_asks=f"Tell me the endpoint that {held}." + (f"; {held_more}" if held_more else ""),
    )


_endpoint(
    "/v1/chat/completions",
    "`POST /v1/chat/completions` is OpenAI's chat endpoint: messages in, an answer out, streamed if you ask.",
    "/v1/chat/completions|OpenAI",
    "(is for chat|answers a chat|chats|takes chat messages|does OpenAI chat)",
    "takes chat messages",
    "How do I chat over (HTTP|OpenAI's API)?; Where do I send chat (messages|requests)?",
    "Where do chat messages go over HTTP?",
)
_endpoint(
    "/v1/completions",
    "`POST /v1/completions` is OpenAI's endpoint for plain text completion.",
    "/v1/completions|completion",
    "(completes text|is for text completion|completes a prompt|does plain completion)",
    "completes plain text",
)
_endpoint(
    "/v1/embeddings",
    "`POST /v1/embeddings` is OpenAI's endpoint for embeddings.",
    "/v1/embeddings",
    "(makes embeddings|is for embeddings|gives embeddings|embeds text)",
    "makes embeddings",
    "How do I (get|make) (embeddings|an embedding)(| over HTTP)?; Where do I (get|ask for) embeddings?",
    "How can I embed some text?",
)
_endpoint(
    "/v1/responses",
    "`POST /v1/responses` is OpenAI's responses endpoint.",
    "/v1/responses|OpenAI",
    "(is OpenAI's responses API|does responses|is for responses)",
    "is for OpenAI's responses",
)
_endpoint(
    "/v1/models",
    "`GET /v1/models` lists the models; `/v1/models/{id}` shows one.",
    "/v1/models",
    "(lists models|lists the models|shows the models)",
    "lists the models",
    "How do I list (the|) models (over HTTP|with OpenAI's API)?",
    "How are models listed over HTTP?",
)
_endpoint(
    "/v1/rerank",
    "`POST /v1/rerank` ranks documents for a query, best first, in Jina's style.",
    "/v1/rerank",
    "(reranks|ranks documents|is for reranking|sorts documents|reranks documents)",
    "ranks documents for a query",
    "How do I (rerank|rank) (documents|passages|texts)?; (Does|Can) (it|mlx-serve) rerank(| documents)?",
    "How can documents be ranked?",
)
_endpoint(
    "/v1/tokenize",
    "`POST /v1/tokenize` counts the tokens of text or messages. It loads no weights.",
    "/v1/tokenize|tokens",
    "(counts tokens|tokenizes|tokenizes text|is for counting tokens)",
    "counts the tokens of a text",
    "How do I (count|get) (tokens|the tokens)(| of a text)?; Does (tokenize|tokenizing|/v1/tokenize) load (weights|the weights|a model)?",
    "How can I count tokens?",
)
_endpoint(
    "/v1/detokenize",
    "`POST /v1/detokenize` turns tokens back into text.",
    "/v1/detokenize|text",
    "(turns tokens (into|back into) text|detokenizes|decodes tokens)",
    "decodes tokens",
    "How do I (turn tokens into text|decode tokens|detokenize)?",
    "How do tokens become text again?",
)
_endpoint(
    "/v1/messages",
    "`POST /v1/messages` is Anthropic's messages endpoint; `/v1/messages/count_tokens` counts tokens.",
    "/v1/messages|Anthropic",
    "(is Anthropic's|speaks Anthropic's API|is for Anthropic clients|serves Anthropic clients)",
    "serves Anthropic clients",
    "(Does|Can) (it|mlx-serve) (speak|support|serve) Anthropic's (API|messages|clients)?",
    "Is Anthropic's API supported?",
)
_endpoint(
    "/api/chat",
    "`POST /api/chat` is Ollama's chat endpoint.",
    "/api/chat|Ollama",
    "(is Ollama's chat|does Ollama chat|chats with Ollama clients)",
    "is Ollama's chat",
    "Where do Ollama clients chat?",
    "Which endpoint has Ollama for chat?",
)
_endpoint(
    "/api/generate",
    "`POST /api/generate` is Ollama's endpoint for one prompt.",
    "/api/generate|Ollama",
    "(is Ollama's generate|generates in Ollama's way|answers one prompt in Ollama's style)",
    "answers one prompt in Ollama's way",
)
_endpoint(
    "/api/tags",
    "`GET /api/tags` lists the installed models in Ollama's style.",
    "/api/tags",
    "(lists models in Ollama's style|lists models for Ollama clients)",
    "lists models for Ollama",
)
_endpoint(
    "/api/embed",
    "`POST /api/embed` gives embeddings in Ollama's style.",
    "/api/embed|embeddings",
    "(embeds in Ollama's style|makes embeddings for Ollama clients)",
    "gives Ollama clients embeddings",
)
_endpoint(
    "/api/ps",
    "`GET /api/ps` lists the loaded models in Ollama's style.",
    "/api/ps|loaded",
    "(lists loaded models|shows loaded models|lists loaded models in Ollama's style)",
    "lists the loaded models",
)
_endpoint(
    "/api/pull",
    "`POST /api/pull` pulls a model in Ollama's style.",
    "/api/pull",
    "(pulls a model|pulls models|downloads a model)",
    "pulls a model over HTTP",
)
_endpoint(
    "/api/show",
    "`POST /api/show` shows one model in Ollama's style.",
    "/api/show",
    "(shows one model|describes a model|shows a model)",
    "shows a model in Ollama's way",
)
_endpoint(
    "/api/delete",
    "`DELETE /api/delete` removes a model in Ollama's style.",
    "/api/delete",
    "(deletes a model|removes a model|deletes models)",
    "removes a model over HTTP",
)
_endpoint(
    "/api/copy",
    "`POST /api/copy` gives a model a second name, in Ollama's style.",
    "/api/copy",
    "(copies a model|copies models)",
    "copies a model over HTTP",
)
_endpoint(
    "/api/create",
    "`POST /api/create` makes a model from another one, in Ollama's style.",
    "/api/create",
    "(creates a model|makes a new model|creates models)",
    "creates a model",
)
_endpoint(
    "/api/blobs",
    "`POST /api/blobs/:digest` uploads a file for `/api/create`, in Ollama's style.",
    "/api/blobs",
    "(uploads a file|uploads files|takes blobs|takes a file for create|is for uploads)",
    "takes uploaded files",
)
_endpoint(
    "/api/version",
    "`GET /api/version` tells the version.",
    "/api/version",
    "(tells the version|gives the version|shows the version)",
    "gives the version",
)
_endpoint(
    "/metrics",
    "`GET /metrics` gives the figures for Prometheus.",
    "/metrics|Prometheus",
    "(gives metrics|is for Prometheus|has the metrics|shows the metrics|gives figures)",
    "gives figures to Prometheus",
    "(Does|Can) (it|mlx-serve) (support|work with|speak to) Prometheus?; Where are the metrics?; How do I (watch|monitor) (the daemon|mlx-serve|it)?",
    "Where does Prometheus find the metrics?",
)
_endpoint(
    "/healthz",
    "`GET /healthz` says whether the process is alive.",
    "/healthz",
    "(says whether the process is alive|is the health check|checks the health|checks the process)",
    "checks the health of the process",
    "Is there a health (check|endpoint)?; How do I check the health(| of the server)?",
    "What is the health check?",
)
_endpoint(
    "/readyz",
    "`GET /readyz` says whether the daemon can serve.",
    "/readyz",
    "(says whether it can serve|says whether the daemon is ready|is the readiness check|checks whether it is ready)",
    "says whether the daemon is ready",
    "Is there a readiness (check|endpoint)?; How do I (check|see) whether (it|the daemon) is ready to serve?",
    "What is the readiness check?",
)
_fact(
    "mlx-serve speaks OpenAI's, Ollama's, Anthropic's and Jina's HTTP.",
    "OpenAI|Ollama|Anthropic|Jina",
    names="the (HTTP APIs|APIs|dialects) of mlx-serve; the supported APIs",
    asks="(Which|What) (APIs|dialects|clients|HTTP APIs|protocols) (does (it|mlx-serve) (speak|support)|are supported|can I use)?; (Does|Is) (it|mlx-serve) (compatible with|speak) (OpenAI|Ollama|Jina)?; "
    "Can I use (the OpenAI SDK|OpenAI's SDK|my Ollama tools|OpenAI clients|Ollama clients|the openai package)?",
    held_asks="What APIs does mlx-serve have?; Can my OpenAI client talk to mlx-serve?; Is Ollama compatible with it?",
)
_fact(
    "An unknown model gives 404.",
    "404",
    asks="(Which|What) (status|HTTP status|error|code) (does|do I get for|comes for|is given for|is) (an unknown|a missing|a wrong) model(| name|)?; What (happens|is) (when|if) (a|the) model (is unknown|is not found|is missing|does not exist)?; Why do I get (a|) 404?",
    held_asks="Which status does a model that does not exist give?; What does a 404 mean?",
    short="404",
)
_fact(
    "A full queue gives 503 with a `Retry-After` header.",
    "503|Retry-After",
    asks="(Which|What) (status|HTTP status|error|code) (does|comes with|is given for|means) (a full queue|too many requests)(| give)?; What (happens|is) (when|if) (the queue is full|too many requests wait|there are too many requests)?; Why do I get (a|) 503?",
    held_asks="Which status does a queue that is full give?; What does a 503 mean?",
    short="503",
)
_fact(
    "A prompt longer than the context gives 400; with Ollama's `truncate` it is cut and marked.",
    "400|truncate",
    asks="What (happens|is) (when|if) (my|a|the) (prompt|text|message|conversation) is (too long|longer than the context|over the context)?; (Which|What) (status|error|code) does a (prompt|text) that is too long give?; Are long prompts (cut|truncated)?",
    held_asks="What if the prompt is too long for the context?; What happens with a prompt that is too long?",
)
_fact(
    "A field that mlx-serve knows and cannot honour is a 400 that names it; a field that nobody knows is ignored.",
    "400|ignored",
    asks="What (happens|is) (with|to) (an unknown field|unknown fields|a field that is not supported|unsupported fields)?; Are unknown fields (ignored|refused|an error)?; Does (it|mlx-serve) ignore (unknown|unsupported) fields?",
    held_asks="What about unknown fields in a request?; Are fields that nobody knows ignored?",
)
_fact(
    'Errors are {"error": {"message", "type", "param", "code"}} under /v1 and {"error": "…"} under /api.',
    "/v1|/api|message",
    names="the (format|form|shape) of (errors|an error|error bodies); an error body",
    asks="What do (errors|error bodies) look like?; (Which|What) (form|shape|format) (do errors have|has an error|have errors)?; How are errors (written|returned|sent)?",
    held_names="the shape of error messages over HTTP",
    held_asks="What does an error look like?",
)
_fact(
    "The command speaks to the daemon over a Unix socket, ~/.mlx-serve/run/8000.sock for port 8000. Its control API lies under /control/v1/.",
    "socket|/control/v1/",
    names="the control API; the control socket; the Unix socket; the control plane; /control/v1/",
    asks="How does the (command|CLI|client) (speak|talk) (to|with) the daemon?; Where is the control (API|socket)?; What is under /control/v1?; (Which|What) routes does the control API have?",
    held_names="the socket of the control API",
    held_asks="How do command and daemon talk?; What use is the control socket?",
)
_fact(
    "Models are stored by content: blobs named by their sha256, and a manifest for each model.",
    "blobs|sha256|manifest",
    names="the store; the model store; a blob; a manifest",
    asks="How are (models|the models|files) stored(| on disk)?; How does the store work?; (Which|What) (hash|digest) does the store use?",
    held_names="the store of mlx-serve",
    held_asks="How does mlx-serve store models on disk?",
)
_fact(
    "Each loaded model lives in a process of its own, so a crash costs one model its requests and nothing else.",
    "process",
    names="a runner; the runner",
    asks="What happens (when|if) a model crashes?; Does a crash (stop|kill|end) (the daemon|everything|other models)?; Why (is there|does each model have) (a|its own) process(| per model| for each model)?; In which process (does a model|do models) run?",
    held_asks="What if a model crashes?; Does a crash of one model hurt the others?",
)
_fact(
    "Use `http://127.0.0.1:8000/v1` as the base URL of the OpenAI client; the key can be anything on this machine.",
    "http://127.0.0.1:8000/v1",
    names="the base URL; the base_url; the (base URL|address) for the OpenAI (SDK|client)",
    tasks="(connect|point|set up|use) (the|an) OpenAI (client|SDK|package|library)(| with mlx-serve| to mlx-serve)",
    held_names="the base URL for OpenAI clients",
    held_tasks="connect my OpenAI client",
)
