internal import ArgumentParser
internal import Compression
internal import ModelFiles
internal import Models
internal import Passes
internal import TensorCore

/// The main job: every stage packed, read back, evaluated and reported.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Compress a model: every stage is packed, read back, evaluated and reported. (default)",
    discussion: """
      Writes a folder with a report, the resolved recipe and one artifact for each stage. An artifact is a zstd file:
      `zstd -d` (or `compress unpack`) turns it into a standard GGUF or safetensors file.

      EXAMPLES
        compress --int4 model.bin
        compress --int8 model.gguf --eval held-out.txt -o out
        compress --int4 minilm --eval pairs.csv
        compress --prune 2:4 --int8 model.safetensors
        compress --distill layers=4,ffn=0.75 --train books.txt --int4 ./hf-folder
        compress --target-size 40MB model.gguf
        compress --max-kld 0.02 ./hf-folder
        compress --recipe recipe.yaml model.safetensors
      """)

  @OptionGroup var source: ModelArguments
  @OptionGroup var common: CommonArguments
  @OptionGroup var calibration: CalibrationArguments

  @OptionGroup var prune: PruneArguments

  @OptionGroup var training: TrainingArguments

  @OptionGroup var quantize: QuantizeArguments

  @Option(help: "Run the stages of this YAML file.")
  var recipe: String?

  @Option(name: [.short, .long], help: "The run's folder (default: Reports/<model>-<recipe>).")
  var output: String?

  @Option(
    help:
      "What artifacts decode to: gguf or safetensors (default: gguf; safetensors for a target, a budget or --w8a8; what --for loads)."
  )
  var format: OutputContainer?

  @OptionGroup var loading: LoadingArguments

  @Option(
    help:
      "Text (.txt, .jsonl) or sentence pairs (.csv, .tsv) to evaluate on (default: the text shipped with the program)."
  )
  var eval: String?

  @Option(help: "Tokens a chunk of evaluation text (default: 512, or what the model can).")
  var context: Int?

  @Option(help: "The most tokens of evaluation text to use (default: 16384).")
  var evalTokens: Int?

  @Flag(
    help:
      "Take the tokens from all over the evaluation text, not from its beginning (always with a budget).")
  var spread = false

  @Option(
    help: "Evaluate with activations in int8, as shipped, or in f32: weights' rounding alone (default: int8)."
  )
  var activations: ActivationPrecision?

  @OptionGroup var budget: BudgetArguments

  @Flag(help: "Leave latency out.")
  var noLatency = false

  @Option(
    help: ArgumentHelp(
      "Measure latency with other numbers of threads, too: 1,2,4, or none (default: 1 where that is quick).",
      valueName: "list"))
  var threadsSweep: ThreadSweep?

  @Flag(help: "Do not compare a pruned model with one that is only quantized.")
  var noFrontier = false

  @Flag(help: "End with exit code 2 when quantizing harder would have been better than pruning.")
  var strict = false

  @Flag(help: "Print events instead of text: one JSON object a line.")
  var json = false

  @Flag(help: "Print how long each step took, and the memory that was taken at most by its end.")
  var timings = false

  @Flag(help: "Accept weights that are NaN or infinite.")
  var allowNonfinite = false

  @Option(
    help:
      "The memory that calibration activations may take before they go to a file: 2GB (default: 256 MiB).")
  var memory: String?

  @Option(help: "The zstd level of the artifacts, 1 to 22.")
  var level: Int?

  @Option(
    help:
      "The seed of all that is random: training's order, text that a model writes, bootstraps (default: 0).")
  var seed: Int?

  func validate() throws {
    let isGiven = prune.isGiven || quantize.isGiven || training.isGiven
    if recipe != nil
      && (isGiven || quantize.method != nil || quantize.smooth != nil || quantize.effort != nil)
    {
      throw ValidationError("Choose --recipe or flags such as --int4, not both.")
    }
    if recipe == nil && !isGiven && !budget.isGiven {
      throw ValidationError(
        "Nothing to do: add --int4, --int8, --w8a8, --prune 0.5, --distill layers=4, --target-size SIZE, a budget such as "
          + "--max-kld 0.02, or --recipe FILE.")
    }
    if recipe == nil, training.train != nil, !training.isGiven {
      throw ValidationError(
        "--train belongs to --distill and --recover; text to observe goes to --calibration.")
    }
    if strict && noFrontier {
      throw ValidationError("--strict needs the comparison that --no-frontier leaves out.")
    }
    if let context, context < 8 { throw ValidationError("--context must be at least 8.") }
    if let evalTokens, evalTokens < 16 { throw ValidationError("--eval-tokens must be at least 16.") }
    if let memory, SizeGoal(size: memory) == nil {
      throw ValidationError("--memory must be a size such as 2GB, not '\(memory)'.")
    }
    if let level, !(1...22).contains(level) { throw ValidationError("--level must be from 1 to 22.") }
    if let seed, seed < 0 { throw ValidationError("--seed must not be negative.") }
  }

  func run() throws {
    common.apply()
    FreedMemory.giveBack()
    let recipe = try resolvedRecipe()
    var job = Job(
      model: source.model, tokenizer: source.tokenizer, recipe: recipe, output: output,
      allowNonfinite: allowNonfinite,
      memoryLimit: memory.flatMap { SizeGoal(size: $0)?.bytes(parameters: 0) },
      commandLine: CommandLine.arguments, probe: .subprocess(sweep: recipe.evaluation.threadsSweep))
    if job.recipe.trains {
      job.trainingState = training.state
      job.cache = training.teacherCache
      job.keepsTraining = true
      job.resumesTraining = training.resume
    } else if training.resume || training.state != nil || training.teacherCache != nil {
      throw ValidationError(
        "--resume, --state and --teacher-cache belong to a training, and no stage trains.")
    }
    let bar = ProgressBar(quiet: common.quiet || json)
    let events = json ? EventLines() : nil
    Interruption.install()
    defer { bar.finish() }
    let clock = timings ? PhaseClock() : nil
    let outcome = try job.run {
      clock?.note($0)
      bar.show($0)
      events?.show($0)
    }
    bar.finish()
    if let events { events.finish(outcome) } else { Terminal.output(outcome.table(width: Terminal.width)) }
    if !common.quiet, !json { Terminal.output(outcome.places) }
    if let clock { Terminal.output(clock.text) }
    try outcome.checkFailure()
    try outcome.checkBudget()
    if strict { try outcome.checkFrontier() }
  }

  /// The recipe of the file or of the flags, with the command line's options on top.
  private func resolvedRecipe() throws -> Recipe {
    var result: Recipe
    if let recipe {
      result = try Recipe(yaml: try TextFile.read(recipe), path: recipe)
    } else {
      // A target is met best by uniform codes, which only this program's safetensors hold.
      let ships = format != .gguf && loading.loader == nil && loading.layout ?? .own == .own
      // A budget beside --prune judges what is pruned; without it, the smallest model that keeps it is looked for.
      var pass = try quantize.pass(
        hasBudget: budget.isGiven && !prune.isGiven && !training.isGiven,
        ships: ships && quantize.method == nil)
      let trained: [any Pass] = [training.distillation].compactMap { $0 } + prune.passes
      let recovery = training.recovery(isQuantized: !prune.isGiven && pass != nil)
      if var ship = pass as? ShipPass, recovery != nil, !prune.isGiven {
        ship.reserve = ShipPass.trainingReserve
        pass = ship
      }
      let last = prune.isGiven || pass == nil ? [recovery, pass] : [pass, recovery]
      result = Recipe(stages: trained + last.compactMap { $0 })
      if pass is ShipPass { result.container = .safetensors }
    }
    if quantize.allowRequantize { result.allowRequantize() }
    if let loader = loading.loader {
      result.loader = loader
      result.container = LoaderRules.of(loader).containers[0]
    } else if quantize.w8a8 {
      // GGUF has no such thing.
      result.container = .safetensors
    }
    if let layout = loading.layout { result.layout = layout }
    if let format { result.container = format }
    result.calibration = calibration.applied(to: result.calibration)
    if let text = training.train { result.training.text = text }
    if let tokens = training.ownTokens { result.training.ownTokens = tokens }
    if calibration.allowOverlap { result.training.allowOverlap = true }
    if let eval { result.evaluation.text = eval }
    if let context { result.evaluation.context = context }
    if spread { result.evaluation.spread = true }
    if let evalTokens { result.evaluation.tokens = evalTokens }
    if let activations { result.evaluation.activations = activations }
    result.budget = budget.applied(to: result.budget)
    if let threadsSweep { result.evaluation.threadsSweep = threadsSweep.counts }
    if noLatency { result.evaluation.latency = false }
    if noFrontier { result.evaluation.frontier = false }
    if let level { result.level = level }
    if let seed { result.seed = seed }
    return result
  }
}
