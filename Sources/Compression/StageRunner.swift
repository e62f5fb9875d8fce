internal import Evaluation
internal import Foundation
internal import ModelFiles
internal import Models
internal import Passes
internal import Reporting
internal import TensorCore

/// Runs the stages of a planned job, one after the other.
struct StageRunner {
  let job: Job
  let plan: JobPlan
  let folder: RunFolder
  let context: RunContext
  let observer: JobObserver

  /// What later stages need of stage 0.
  private struct Baseline {
    var checkpoint: Checkpoint
    var reference: BaselineReference
    var packedBytes: Int
  }

  /// What a stage left behind.
  private struct Stage {
    var report: StageReport
    /// Its predictions.
    var records: TokenRecords?
    /// The model as it was read back.
    var shipped: Checkpoint
    var reference: BaselineReference
    /// The model as the pass made it.
    var transformed: Checkpoint
    /// The tensors whose zeros are to stay and how many weights are none, which not every container says.
    var kept: [String: Int] {
      Dictionary(
        transformed.tensors.compactMap { tensor in tensor.keptLimit.map { (tensor.name, $0) } },
        uniquingKeysWith: { first, _ in first })
    }
  }

  /// What the stages left behind.
  struct Result {
    /// Their reports, written into their folders.
    var reports: [StageReport] = []
    /// Their predictions, where there are any.
    var records: [TokenRecords?] = []
    /// The error that ended the run; what was made before stands.
    var failure: (stage: StageFailure, error: any Error)?
  }

  /// Runs all stages, or those before one that cannot be finished.
  func run() throws -> Result {
    var result = Result()
    var baseline: Baseline?
    var current = plan.checkpoint
    for (index, (pass, passPlan)) in zip(plan.stages, plan.plans).enumerated() {
      observer(.stage(index: index, count: plan.stages.count, label: pass.label))
      let stage: Stage
      do {
        stage = try runStage(
          index: index, pass: pass, passPlan: passPlan, input: current, baseline: baseline)
      } catch  where index > 0 && (error is EvaluationError || error is PassError) {
        folder.removeFolder(StageRunner.folderName(index: index, label: pass.label))
        let failure = StageFailure(
          index: index, name: pass.label, message: JobError(error)?.description ?? "\(error)")
        result.failure = (failure, error)
        return result
      }
      if baseline == nil {
        baseline = Baseline(
          checkpoint: stage.shipped, reference: stage.reference, packedBytes: stage.report.size.packedBytes)
      }
      // The next pass works on what this one shipped, under the original's name and origin.
      current.tensors = stage.shipped.tensors
      current.configuration = stage.transformed.configuration
      current.architecture = stage.transformed.architecture
      let kept = stage.kept
      for place in current.tensors.indices {
        current.tensors[place].keptLimit = kept[current.tensors[place].name]
      }
      result.reports.append(stage.report)
      result.records.append(stage.records)
      observer(.finished(stage.report))
    }
    return result
  }

  /// The name of a stage's folder.
  static func folderName(_ stage: StageReport) -> String { folderName(index: stage.index, label: stage.name) }

  private static func folderName(index: Int, label: String) -> String { "\(index)-\(label)" }

  /// A GGUF is one file and bears the model's name; a Hugging Face folder's weights have one name only.
  func artifactName() -> String {
    switch job.recipe.container {
    case .gguf: "\(plan.fileName).gguf.zst"
    case .safetensors: "model.safetensors.zst"
    }
  }

  private func runStage(
    index: Int, pass: any Pass, passPlan: PassPlan, input: Checkpoint, baseline: Baseline?
  ) throws -> Stage {
    let observer = observer
    let passContext = try passContext(of: pass, stage: index, reference: baseline?.reference, input: input)
    if pass.trains { GracefulStop.begin() }
    defer { GracefulStop.end() }
    let result = try pass.apply(passPlan, to: input, in: passContext)
    GracefulStop.end()
    let (transformed, passPlan) = (result.checkpoint, result.plan)
    let name = StageRunner.folderName(index: index, label: pass.label)
    let file = artifactName()
    let place = try folder.makeFolder(name)
    let path = place + "/" + file
    var summary = try pack(transformed, stage: index, to: path)
    if job.recipe.container == .safetensors {
      _ = try Companions.write(of: transformed, into: place, packed: job.recipe.layout)
      if transformed.source.tokenizerFiles.isEmpty, transformed.tokenizer != nil {
        summary.notes.append(
          "the source carries its tokenizer inside; take tokenizer files from the original model")
      }
    }

    // From here on nothing but the files is used: what an edge host would open.
    let shipped = try Checkpoint.load(try ModelFiles.open(path))
    let activations = job.recipe.evaluation.activations
    let recorder = recorder()
    let (metrics, reference) = try evaluate(
      try shipped.makeModel(activations: activations, isStreamed: true), of: shipped,
      baseline: baseline?.reference, records: recorder)
    let records = recorder?.records
    if let records { try TokenFile.write(records, to: "\(place)/\(TokenFile.name)") }
    let evaluation = plan.subject.report(metrics, activations: activations)
    observer(.done(step: "evaluate", remark: StageRunner.remark(metrics)))
    let latency = try measureLatency(path, metrics: metrics)

    let original =
      transformed.configuration == plan.checkpoint.configuration ? baseline?.checkpoint : nil
    let tensors = try tensors(shipped, plan: passPlan, outcomes: result.outcomes, baseline: original)
    var report = StageReport(
      index: index, name: pass.label, pass: StageRunner.describe(passPlan),
      recipe: index == 0 ? .null : .object(JSONObject([(type(of: pass).name, pass.options)])),
      artifact: ArtifactReport(
        file: file, container: job.recipe.container.rawValue, sha256: try FileHash.sha256(ofFile: path),
        merkleRoot: summary.merkleRoot),
      size: size(summary, shipped: shipped, baseline: baseline),
      tensors: tensors,
      evaluation: evaluation, budget: index == 0 ? nil : job.recipe.budget.verdict(for: evaluation),
      calibration: passContext.calibration?.summary, training: result.training,
      tokens: records.map { TokenReport($0, piece: (shipped.tokenizer ?? input.tokenizer).map { $0.piece }) },
      latency: latency,
      notes: passPlan.notes + result.notes + summary.notes,
      warnings: StageRunner.warnings(summary, baseline: baseline?.packedBytes), run: context)
    report.distributions = try distributions(shipped, tensors: tensors, baseline: original)
    if let storage = try SparsityReport(shipped) {
      report.sparsity = storage
      report.notes.append(storage.text)
    }
    if comparesFrontier(index), let baseline {
      report.frontier = try frontier(
        index: index, original: baseline.checkpoint, reference: baseline.reference, metrics: metrics,
        packedBytes: summary.bytes, latency: latency)
      report.notes += report.frontier.map { $0.comparisons.map(\.text) + $0.notes } ?? []
    }
    try folder.write(report.jsonText, to: "\(name)/report.json")
    try folder.write(MarkdownReport.text(report), to: "\(name)/report.md")
    for note in report.notes + report.warnings { observer(.note(note)) }
    return Stage(
      report: report, records: records, shipped: shipped, reference: reference, transformed: transformed)
  }

  // MARK: Steps

  /// What a pass may use.
  func passContext(of pass: any Pass, stage: Int, reference: BaselineReference?, input: Checkpoint)
    throws -> PassContext
  {
    let (observer, runner) = (observer, self)
    var context = PassContext(calibration: pass.needs > .nothing ? plan.calibration : nil)
    if stage > 1, plan.stages[1..<stage].allSatisfy({ $0 is PrunePass }) {
      context.unpruned = plan.checkpoint
    }
    if pass.trains {
      context.training = plan.training
      context.original = plan.checkpoint
      context.teacherCache = job.cache
      context.sizeLimit = StageRunner.sizeGoal(of: plan.stages.prefix(stage))?.bytes(
        parameters: input.parameterCount)
      context.trainingState = job.trainingState.map {
        TrainingPlace(folder: $0, stage: stage, resumes: job.resumesTraining)
      }
      context.isInterrupted = { GracefulStop.isRequested }
    }
    context.remark = { step, text in observer(.done(step: step, remark: text)) }
    context.seed = UInt64(clamping: job.recipe.seed)
    context.level = job.recipe.level ?? ArtifactFile.defaultLevel
    context.memoryLimit = job.memoryLimit
    context.progress = { step, fraction in observer(.progress(step: step, fraction: fraction)) }
    let probe = folder.scratch(".size-\(stage)")
    context.artifactBytes = { checkpoint in
      defer { unlink(probe) }
      return try runner.pack(checkpoint, stage: stage, to: probe, isQuiet: true).bytes
    }
    guard !job.recipe.budget.isEmpty, let reference, let calibration = context.calibration else {
      return context
    }
    let evaluator = try BudgetEvaluator(baseline: plan.checkpoint, calibration: calibration)
    context.judge = { checkpoint, text in
      let verdict: BudgetVerdict?
      switch text {
      case .choosing:
        verdict = try evaluator.map { try $0.metrics(of: checkpoint) }.flatMap {
          runner.job.recipe.budget.verdict(for: $0)
        }
      case .verifying:
        let activations = runner.job.recipe.evaluation.activations
        let metrics = try runner.evaluate(
          try checkpoint.makeModel(activations: activations, isStreamed: true), of: checkpoint,
          baseline: reference
        ).0
        verdict = runner.job.recipe.budget.verdict(
          for: runner.plan.subject.report(metrics, activations: activations))
      }
      return verdict?.excess ?? .infinity
    }
    return context
  }

  /// The size that the last stage to ask for one has asked for.
  private static func sizeGoal(of stages: some BidirectionalCollection<any Pass>) -> SizeGoal? {
    stages.lazy.compactMap { stage -> SizeGoal? in
      if let ship = stage as? ShipPass { return ship.goal }
      if case .mixed(let goal)? = (stage as? QuantizePass)?.target { return goal }
      return nil
    }.last
  }

  struct Packed {
    var bytes: Int
    var decodedBytes: Int
    var merkleRoot: String
    var notes: [String]
  }

  func pack(_ checkpoint: Checkpoint, stage: Int, to path: String, isQuiet: Bool = false) throws
    -> Packed
  {
    let layout = try ContainerOutput.layout(
      of: checkpoint, in: job.recipe.container, packed: job.recipe.layout)
    let observer = observer
    var origin = JSONObject([("recipe", job.recipe.transformation), ("stage", .integer(stage))])
    if let calibration = plan.calibration { origin["calibration"] = .string(calibration.sha256) }
    if let training = plan.training { origin["training"] = .string(training.sha256) }
    let recipe = JSONValue.object(origin)
    let summary = try ArtifactFile.write(
      layout, to: path, level: job.recipe.level ?? ArtifactFile.defaultLevel, recipe: recipe,
      source: context.source,
      toolVersion: toolVersion
    ) { done, total in
      if !isQuiet { observer(.progress(step: "pack", fraction: Double(done) / Double(max(1, total)))) }
    }
    if !isQuiet {
      observer(
        .done(
          step: "pack",
          remark: "\(NumberFormat.bytes(summary.bytes)) in \(NumberFormat.seconds(summary.seconds))"))
    }
    return Packed(
      bytes: summary.bytes, decodedBytes: summary.decodedBytes, merkleRoot: summary.merkleRoot,
      notes: layout.notes)
  }

  /// What takes the predictions of a stage, under the hashes of the source's files.
  private func recorder() -> TokenRecorder? {
    guard case .language(let chunks) = plan.subject, let architecture = plan.checkpoint.architecture else {
      return nil
    }
    return TokenRecorder(
      key: ReferenceKey(
        modelName: plan.checkpoint.name, files: Array(context.source.values),
        vocabulary: architecture.vocabularySize, chunks: chunks))
  }

  /// Damaged weights that the user let through give no figures; they stop nothing.
  func evaluate(
    _ model: RunnableModel, of checkpoint: Checkpoint, baseline: BaselineReference?,
    records: TokenRecorder? = nil
  ) throws -> (StageMetrics, BaselineReference) {
    do {
      guard let baseline else {
        return try plan.subject.evaluateBaseline(
          model, name: plan.checkpoint.name, tokenizer: checkpoint.tokenizer, records: records,
          observer: observer)
      }
      let metrics = try plan.subject.evaluate(
        model, baseline: baseline, tokenizer: checkpoint.tokenizer, records: records, observer: observer)
      return (metrics, baseline)
    } catch let error as EvaluationError where error.reason == .nonFinite && !plan.damaged.isEmpty {
      return (.none(reason: "\(error.message); the weights hold NaN or infinity"), .none)
    }
  }

  func measureLatency(_ path: String, metrics: StageMetrics) throws -> LatencyMetrics? {
    if case .none = metrics { return nil }
    guard job.recipe.evaluation.latency else { return nil }
    observer(.progress(step: "latency", fraction: 0))
    guard let latency = try job.probe.measure(path) else { return nil }
    observer(.done(step: "latency", remark: StageRunner.remark(latency)))
    return latency
  }

  // MARK: Report parts

  private func size(_ packed: Packed, shipped: Checkpoint, baseline: Baseline?) -> SizeReport {
    SizeReport(
      packedBytes: packed.bytes, decodedBytes: packed.decodedBytes,
      tensorBytes: shipped.tensors.reduce(0) { $0 + $1.bytes.count },
      parameters: shipped.tensors.reduce(0) { $0 + $1.elementCount },
      baselinePackedBytes: baseline?.packedBytes,
      sourceBytes: plan.checkpoint.source.files.reduce(0) { $0 + RunFolder.size(of: $1) })
  }

  private func tensors(
    _ shipped: Checkpoint, plan: PassPlan, outcomes: [String: TensorOutcome], baseline: Checkpoint?
  ) throws -> [TensorReport] {
    let notes = Dictionary(plan.entries.map { ($0.name, $0.note) }, uniquingKeysWith: { first, _ in first })
    let originals = Dictionary(
      (baseline?.tensors ?? []).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var reports: [TensorReport] = []
    for (place, tensor) in shipped.tensors.enumerated() {
      if baseline != nil {
        observer(.progress(step: "compare", fraction: Double(place) / Double(shipped.tensors.count)))
      }
      let error = try originals[tensor.name].flatMap {
        try TensorError.relativeSquaredError(of: tensor, from: $0)
      }
      reports.append(
        TensorReport(
          name: tensor.name, role: shipped.role(of: tensor).rawValue, shape: tensor.shape,
          format: tensor.format.rawValue, bytes: tensor.bytes.count, relativeSquaredError: error,
          outcome: outcomes[tensor.name], note: notes[tensor.name] ?? nil))
    }
    return reports
  }

  static func describe(_ plan: PassPlan) -> String {
    var counts: [(format: String, count: Int)] = []
    for entry in plan.entries where entry.shape.count >= 2 {
      if let place = counts.firstIndex(where: { $0.format == entry.to.rawValue }) {
        counts[place].count += 1
      } else {
        counts.append((entry.to.rawValue, 1))
      }
    }
    return counts.sorted { $0.count > $1.count }.map { "\($0.count) × \($0.format)" }.joined(separator: ", ")
  }

  private static func warnings(_ packed: Packed, baseline: Int?) -> [String] {
    guard let baseline, packed.bytes >= baseline else { return [] }
    return [
      "this stage's artifact (\(packed.bytes) bytes) is no smaller than the baseline's (\(baseline) bytes)"
    ]
  }

  private static func remark(_ metrics: StageMetrics) -> String {
    switch metrics {
    case .language(let metrics):
      "perplexity \(NumberFormat.estimate(metrics.perplexity, atLeast: 4))"
        + (metrics.divergence.map { ", KL divergence \(NumberFormat.estimate($0.mean))" } ?? "")
    case .encoder(let metrics):
      [
        metrics.correlation.map { "Spearman \(NumberFormat.estimate($0.spearman))" },
        metrics.similarity.map { "cosine to baseline \(NumberFormat.estimate($0.mean))" },
        "\(metrics.sentences) sentences",
      ].compactMap { $0 }.joined(separator: ", ")
    case .none(let reason): "not evaluated: \(reason)"
    }
  }

  private static func remark(_ latency: LatencyMetrics) -> String {
    let prefill = "prefill \(NumberFormat.rate(latency.prefill.rate)) tok/s"
    return latency.decode.map { "\(prefill), decode \(NumberFormat.rate($0.rate)) tok/s" } ?? prefill
  }
}
