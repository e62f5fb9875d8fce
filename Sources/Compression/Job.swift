internal import Evaluation
internal import Foundation
internal import ModelFiles
internal import Models
public import Passes
public import Reporting
internal import TensorCore

/// A whole job: plan, then every stage packed, read back, evaluated and reported.
///
/// ```swift
/// let job = Job(model: "model.bin", recipe: Recipe(stages: [QuantizePass(.int4)]))
/// let outcome = try job.run { event in print(event) }
/// ```
public struct Job: Sendable {
  /// The checkpoint: a file, a folder, or an artifact.
  public var model: String
  /// A tokenizer file to use instead of the one beside the model.
  public var tokenizer: String?
  /// The stages and how they are evaluated.
  public var recipe: Recipe
  /// The run's folder; nil for `Reports/<model>-<recipe>`.
  public var output: String?
  /// Whether weights may be NaN or infinite.
  public var allowNonfinite: Bool
  /// The bytes of memory that calibration activations may take before they are spilled to a file; nil for no limit.
  public var memoryLimit: Int?
  /// The folder where training keeps what it takes to go on; nil for the run's folder with `.training` behind it.
  public var trainingState: String?
  /// Whether training keeps what it takes to go on at all.
  public var keepsTraining = false
  /// Whether training goes on with what is kept there.
  public var resumesTraining = false
  /// A folder for what a teacher has predicted and written, which other runs use again; nil for none.
  public var cache: String?
  /// What the user typed, for the reports.
  public var commandLine: [String]
  /// How latency is measured.
  public var probe: LatencyProbe

  /// A job.
  public init(
    model: String, tokenizer: String? = nil, recipe: Recipe, output: String? = nil,
    allowNonfinite: Bool = false, memoryLimit: Int? = nil,
    commandLine: [String] = [], probe: LatencyProbe = .inProcess
  ) {
    self.model = model
    self.tokenizer = tokenizer
    self.recipe = recipe
    self.output = output
    self.allowNonfinite = allowNonfinite
    self.memoryLimit = memoryLimit
    self.commandLine = commandLine
    self.probe = probe
  }

  /// Runs the job.
  ///
  /// Everything that can be refused is refused before a byte is written; the run's folder appears, whole, at the end.
  /// - Parameter observer: told what happens; called from this thread.
  /// - Throws: ``JobError`` or one of the errors that it can be made from.
  public func run(_ observer: @escaping JobObserver = { _ in }) throws -> JobOutcome {
    var job = self
    job.recipe = recipe.resolved()
    return try job.runResolved(observer)
  }

  private func runResolved(_ observer: @escaping JobObserver) throws -> JobOutcome {
    let start = ContinuousClock.now
    let date = ISO8601DateFormatter().string(from: Date())
    let plan = try JobPlan(
      model: model, tokenizer: tokenizer, recipe: recipe, allowNonfinite: allowNonfinite, cache: cache,
      observer: observer)
    let place = output ?? "Reports/\(plan.fileName)-\(recipe.name)"
    let inputs =
      [model, tokenizer, recipe.evaluation.text, calibrationPlace, trainingText].compactMap { $0 }
      + plan.checkpoint.source.inputFiles
    let folder = try RunFolder(path: place, inputs: inputs)
    do {
      try folder.requireSpace(plan.outputBytes)
      let notes =
        plan.checkpoint.notes + plan.notes + (plan.calibration?.notes ?? []) + (plan.training?.notes ?? [])
      for note in notes { observer(.note(note)) }
      let context = try runContext(plan)
      var job = self
      job.trainingState = keepsTraining && recipe.trains ? trainingState ?? place + ".training" : nil
      let result = try StageRunner(
        job: job, plan: plan, folder: folder, context: context, observer: observer
      ).run()
      let report = RunReport(
        date: date, seconds: seconds(since: start), recipeName: recipe.name, recipe: recipe.json,
        run: context, stages: result.reports,
        comparisons: try StageComparison.all(
          result.records, bootstrap: Bootstrap(seed: UInt64(clamping: recipe.seed))),
        failure: result.failure?.stage, notes: notes)
      try folder.write(report.jsonText, to: "report.json")
      try folder.write(MarkdownReport.text(report), to: "report.md")
      try folder.write(HTMLReport.text(report), to: "report.html")
      try folder.write(recipe.yaml, to: "recipe.yaml")
      try folder.commit()
      if let state = job.trainingState, result.failure == nil,
        !result.reports.contains(where: { $0.training?.wasInterrupted == true })
      {
        TrainingPlace.remove(state, stages: plan.stages.count)
      }
      return JobOutcome(report: report, folder: place, error: result.failure.flatMap { JobError($0.error) })
    } catch {
      folder.discard()
      throw folder.named(error)
    }
  }

  /// The file or folder of the calibration text.
  private var calibrationPlace: String? {
    recipe.observes && !recipe.calibration.isSelf ? recipe.calibration.text : nil
  }

  /// The file or folder of the training text.
  private var trainingText: String? {
    recipe.trains && !recipe.training.isSelf ? recipe.training.text : nil
  }

  private func runContext(_ plan: JobPlan) throws -> RunContext {
    let files = plan.checkpoint.source.files
    let source = Dictionary(
      zip(files.map { ($0 as NSString).lastPathComponent }, try FileHash.sha256(ofFiles: files)),
      uniquingKeysWith: { $1 })
    return RunContext(
      model: plan.checkpoint.name, source: source, toolVersion: toolVersion, command: commandLine,
      threads: Parallel.threadCount, seed: recipe.seed, machine: .current())
  }

  private func seconds(since start: ContinuousClock.Instant) -> Double {
    let elapsed = ContinuousClock.now - start
    return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
  }
}

/// What a job made.
public struct JobOutcome: Sendable {
  /// The figures of all stages.
  public var report: RunReport
  /// The run's folder.
  public var folder: String
  /// Why the run ended before its last stage; nil when it did not. Reports and artifacts of the stages before are there.
  public var error: JobError?

  /// Throws when a stage was not finished.
  public func checkFailure() throws {
    guard let error, let failure = report.failure else { return }
    throw JobError(
      error.kind, "\(folder): stage \(failure.index), \(failure.name), failed: \(error.description)")
  }

  /// Throws when the last stage breaks the budget; its artifact and reports are there all the same.
  public func checkBudget() throws {
    guard let stage = report.stages.last, let failure = stage.budget?.failure else { return }
    throw JobError(.gate, "\(folder): stage \(stage.index), \(stage.name), breaks the budget: \(failure)")
  }

  /// Throws when the same original, quantized harder, would have been better than the pruned model; everything is there all the same.
  public func checkFrontier() throws {
    guard let stage = report.stages.last, let verdict = stage.frontier, verdict.loses else { return }
    let lost = verdict.comparisons.filter { $0.outcome == .loses }.map(\.text)
    throw JobError(.gate, "\(folder): stage \(stage.index), \(stage.name): \(lost.joined(separator: "; "))")
  }

  /// The stages as a table for a terminal of `width` columns.
  public func table(width: Int) -> String { StageTable(report.stages).text(width: width) }

  /// Where report and artifacts are, a line each.
  public var places: String {
    var lines = ["", "report    \(folder)/report.html"]
    for stage in report.stages {
      lines.append("artifact  \(folder)/\(StageRunner.folderName(stage))/\(stage.artifact.file)")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
