import ModelFiles
public import Models
import TensorCore
import Training

/// How much work rounding is worth.
public enum RoundingEffort: String, Sendable, CaseIterable {
  /// Each layer for the inputs that it gets.
  case usual
  /// Then each block's codes and scales once more, by gradients of the block's output (``LearnedRounding``).
  case max

  /// Reads the option of a recipe.
  init(_ options: inout RecipeMapping) throws(RecipeError) {
    guard let name = try options.string("effort") else {
      self = .usual
      return
    }
    guard let known = RoundingEffort(rawValue: name) else {
      throw options.failure("unknown effort '\(name)'; known are usual, max")
    }
    self = known
  }

  /// Refuses models whose blocks cannot be trained.
  func check(_ checkpoint: Checkpoint) throws {
    guard self == .max, !(checkpoint.architecture is LlamaArchitecture) else { return }
    throw PassError(
      "rounding is learned block by block in models of the llama family alone; leave effort out")
  }

  /// A quantized model with learned rounding, where that is asked for and gains something.
  ///
  /// - Parameters:
  ///   - limit: the bytes that the artifact may have.
  func applied(
    to result: PassResult, of checkpoint: Checkpoint, in context: PassContext, limit: Int? = nil
  ) throws -> PassResult {
    guard self == .max else { return result }
    guard let calibration = context.calibration, calibration.heldOutTokenCount > 0 else {
      throw PassError(
        "effort max learns from calibration text, and there is none: give a tokenizer, or leave it out")
    }
    var settings = BlockRoundingSettings()
    settings.seed = context.seed
    // Weights that were scaled before they were rounded are not the original's.
    let scaled = result.outcomes.filter { $0.value.method == QuantizePass.Method.awq.rawValue }
    guard
      var rounding = LearnedRounding(
        original: checkpoint, rounded: result.checkpoint, exact: Set(scaled.keys), settings: settings)
    else { return result }
    if let sensitivity = try PredictionSensitivity(checkpoint, calibration: calibration, context: context) {
      // What the last layer of a block adds is what the block puts out.
      rounding.metric = { index in
        let name = "model.layers.\(index).mlp.down_proj.weight"
        guard case .full(let gram) = sensitivity.layers[name] else { return nil }
        return try gram.load()
      }
    }
    let outcome: LearnedRounding.Outcome
    do {
      outcome = try rounding.run(calibration.sequences, heldOut: calibration.heldOut) {
        try context.progress("learn rounding", $0)
      }
    } catch let error as TrainingError {
      throw PassError("effort max: \(error.description)")
    }
    return try RoundingEffort.finished(result, outcome, limit, context)
  }

  private static func finished(
    _ result: PassResult, _ outcome: LearnedRounding.Outcome, _ limit: Int?, _ context: PassContext
  ) throws -> PassResult {
    var made = result
    let (before, after) = (text(outcome.divergence.before), text(outcome.divergence.after))
    guard outcome.divergence.after < outcome.divergence.before else {
      made.notes.append(
        "learned rounding was undone: KL divergence on held-out calibration text \(before) before, \(after) after"
      )
      return made
    }
    if let limit {
      let bytes = try context.artifactBytes(outcome.checkpoint)
      guard bytes <= limit else {
        made.notes.append(
          "learned rounding was undone: the artifact would have \(bytes) bytes, and \(limit) were asked for")
        return made
      }
    }
    made.checkpoint = outcome.checkpoint
    let gained = outcome.blocks.count { $0.after < $0.before }
    made.notes.append(
      "rounding learned in \(gained) of \(outcome.blocks.count) blocks: KL divergence on held-out calibration text "
        + "\(before) before, \(after) after")
    return made
  }

  private static func text(_ value: Double) -> String {
    guard value.isFinite, value > 0 else { return "\(value)" }
    let unit = value < 1e-3 ? 1e7 : 1e6
    return "\((value * unit).rounded() / unit)"
  }
}
