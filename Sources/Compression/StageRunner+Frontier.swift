internal import Evaluation
internal import Foundation
internal import ModelFiles
internal import Models
internal import Passes
internal import Reporting
internal import TensorCore

/// The question that every pruning stage has to answer: would the same original, quantized harder, have been better?
extension StageRunner {
  /// Whether stage `index`, the finished model, is compared: a pass before it or it itself pruned.
  func comparesFrontier(_ index: Int) -> Bool {
    index > 0 && index == plan.stages.count - 1 && job.recipe.comparesPruning
  }

  /// The verdict on a finished model, by alternatives that are made, packed, evaluated and timed as a stage is, and thrown away.
  ///
  /// - Parameter original: the baseline as it was read back.
  /// - Returns: nil where models have no divergence.
  func frontier(
    index: Int, original: Checkpoint, reference: BaselineReference, metrics: StageMetrics, packedBytes: Int,
    latency: LatencyMetrics?
  ) throws -> FrontierVerdict? {
    guard case .language(let pruned) = metrics, let divergence = pruned.divergence?.mean else { return nil }
    let seconds = latency?.decode?.median
    var verdict = FrontierVerdict(
      packedBytes: packedBytes, secondsPerToken: seconds, divergence: divergence)
    let origin = Origin(index: index, checkpoint: original, reference: reference)
    let same: Alternative
    do { same = try alternative(to: origin, by: [harder(bytes: packedBytes)]) } catch let error as PassError {
      verdict.notes.append(
        "nothing that is only quantized to compare with at equal bytes: \(error.description)")
      return verdict
    }
    func comparison(_ basis: FrontierVerdict.Basis, _ other: Alternative) -> FrontierVerdict.Comparison? {
      FrontierVerdict.Comparison(
        basis: basis, pruned: pruned, with: other.metrics, alternative: other.formats,
        packedBytes: other.bytes, secondsPerToken: other.secondsPerToken)
    }
    verdict.comparisons += [comparison(.bytes, same)].compactMap { $0 }
    guard let seconds else { return verdict }
    guard let fast = try asFast(as: seconds, origin, same) else {
      verdict.notes.append(
        "no model that is only quantized was found to be as fast: nothing is said about equal latency")
      return verdict
    }
    verdict.comparisons += [comparison(.latency, fast)].compactMap { $0 }
    return verdict
  }

  /// What alternatives are made from.
  private struct Origin {
    var index: Int
    var checkpoint: Checkpoint
    var reference: BaselineReference
  }

  /// A quantization to an artifact of `bytes`.
  private func harder(bytes: Int) -> any Pass {
    job.recipe.container == .gguf ? QuantizePass(.mixed(.bytes(bytes))) : ShipPass(.bytes(bytes))
  }

  /// A model, nothing pruned, that decodes a token in about `seconds`: the one of equal bytes, the run's own stages without those
  /// that prune, or one quantized harder. Nil where none of them does.
  private func asFast(as seconds: Double, _ origin: Origin, _ same: Alternative) throws -> Alternative? {
    // Two measurements of one model differ by a few per cent.
    func suffices(_ other: Alternative) -> Bool {
      other.secondsPerToken.map { $0 <= 1.05 * seconds } ?? false
    }
    if suffices(same) { return same }
    let stages = plan.stages[1...origin.index].filter {
      !($0 is PrunePass || $0 is StructurePass || $0.trains)
    }
    do {
      let twin = try alternative(to: origin, by: stages)
      if suffices(twin) { return twin }
      // Decoding reads every weight once, so time goes with bytes.
      guard let time = twin.secondsPerToken else { return nil }
      let smaller = try alternative(
        to: origin, by: [harder(bytes: Int(Double(twin.bytes) * seconds / time))])
      return suffices(smaller) ? smaller : nil
    } catch is PassError {
      return nil
    }
  }

  private struct Alternative {
    var formats: String
    var bytes: Int
    var metrics: LanguageMetrics
    var secondsPerToken: Double?
  }

  /// The original after `passes`, as it would ship.
  ///
  /// - Throws: ``PassError`` where they cannot be applied, as when no types are as small.
  private func alternative(to origin: Origin, by passes: [any Pass]) throws -> Alternative {
    var checkpoint = plan.checkpoint
    checkpoint.tensors = origin.checkpoint.tensors
    let name = passes.map(\.label).joined(separator: ", ")
    observer(.note("comparing with the original, nothing pruned: \(name.isEmpty ? "as it is" : name)"))
    var formats = StageRunner.describe(plan.plans[0])
    for pass in passes {
      var context = try passContext(
        of: pass, stage: origin.index, reference: origin.reference, input: checkpoint)
      if context.calibration == nil, pass.needs > .nothing {
        context.calibration = plan.comparisonCalibration
      }
      let result = try pass.apply(try pass.plan(for: checkpoint), to: checkpoint, in: context)
      (checkpoint, formats) = (result.checkpoint, StageRunner.describe(result.plan))
    }
    let folderName = ".frontier"
    let path = try folder.makeFolder(folderName) + "/" + artifactName()
    defer { folder.removeFolder(folderName) }
    let packed = try pack(checkpoint, stage: origin.index, to: path, isQuiet: true)
    if job.recipe.container == .safetensors {
      _ = try Companions.write(
        of: checkpoint, into: (path as NSString).deletingLastPathComponent, packed: job.recipe.layout)
    }
    let shipped = try Checkpoint.load(try ModelFiles.open(path))
    let (metrics, _) = try evaluate(
      try shipped.makeModel(activations: job.recipe.evaluation.activations, isStreamed: true), of: shipped,
      baseline: origin.reference)
    guard case .language(let language) = metrics else {
      throw PassError("the model that is only quantized cannot be evaluated")
    }
    return Alternative(
      formats: formats, bytes: packed.bytes, metrics: language,
      secondsPerToken: try measureLatency(path, metrics: metrics)?.decode?.median)
  }
}
