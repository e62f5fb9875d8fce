import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// Carries out a quantization plan with calibration: every matrix is rounded for the inputs that it was seen to get.
struct CalibratedQuantization {
  let plan: PassPlan
  let method: QuantizePass.Method
  /// What is done about outliers of activations, for layers in `w8a8`.
  var smoothing = Smoothing.none
  let context: PassContext

  /// How far targets are moved towards the weights that suit the compressed model's inputs; the best on held-out tokens is kept.
  private static let blends: [Float] = [1, 0.5]
  /// Passes of coordinate descent.
  private static let sweeps = 2

  /// The checkpoint with every planned tensor rounded, and what became of each; nil when the model cannot be observed.
  func apply(to checkpoint: Checkpoint) throws -> PassResult? {
    guard let calibration = context.calibration, !calibration.sequences.isEmpty,
      let sweep = CalibrationSweep(checkpoint, calibration: calibration, context: context)
    else { return nil }
    let formats = Dictionary(plan.entries.map { ($0.name, $0.to) }, uniquingKeysWith: { first, _ in first })
    let stored = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var replaced: [String: StoredTensor] = [:]
    var outcomes: [String: TensorOutcome] = [:]
    let scaling = ActivationAwareScaling(formats: formats, stored: stored)
    var floats: [String: StoredTensor] = [:]
    let smoothing = ActivationSmoothing(smoothing, formats: formats, stored: stored)
    var exponents: [String: Float?] = [:]
    var preparing: CalibrationSweep.Preparation?
    if method == .awq || self.smoothing != .none {
      preparing = { step in
        let changed: [StoredTensor]
        if method == .awq {
          changed = try scaling.scaled(step)
        } else {
          let smoothed = try smoothing.smoothed(step)
          for layer in step.layers { exponents[layer.name] = .some(smoothed.exponent) }
          changed = smoothed.tensors
        }
        for tensor in changed { floats[tensor.name] = tensor }
        return changed
      }
    }
    try sweep.run(preparing: preparing, observesOutputs: true) { step in
      var result: [String: StoredTensor] = [:]
      var seen: (factor: FeedbackFactor, movement: TargetMovement?)?
      for (name, weights) in step.layers {
        guard let tensor = stored[name], let format = formats[name], format != tensor.format,
          let codec = CodecList.gridCodec(for: format)
        else { continue }
        let rounded: LayerRounding.Result
        if step.observation.tokens > 0 {
          let shared = try seen ?? statistics(of: step.observation)
          seen = shared
          rounded = try round(
            LayerRounding(weights, observation: step.observation, factor: shared.factor),
            movement: shared.movement, codec: codec)
        } else {
          rounded = LayerRounding.Result(
            bytes: try TensorCoding.encode(weights, format: format), outcome: TensorOutcome(method: "rtn"))
        }
        var copy = tensor
        copy.format = format
        copy.bytes = TensorBytes(rounded.bytes)
        result[name] = copy
        outcomes[name] = rounded.outcome
        if let exponent = exponents[name] {
          outcomes[name]?.note = exponent.map { "smoothed with exponent \($0)" } ?? "not smoothed"
        }
      }
      replaced.merge(result) { $1 }
      return result
    }
    // What scales were folded into and is not rounded itself: norms, biases.
    for (name, tensor) in floats where replaced[name] == nil { replaced[name] = tensor }
    var rounded = plan.reencode(checkpoint)
    for place in rounded.tensors.indices {
      if let tensor = replaced[rounded.tensors[place].name] { rounded.tensors[place] = tensor }
    }
    var result = PassResult(checkpoint: rounded, plan: plan)
    result.outcomes = outcomes
    return result
  }

  /// What layers with one input share.
  private func statistics(of observation: LayerObservation) throws -> (FeedbackFactor, TargetMovement?) {
    let factor = try FeedbackFactor(
      gram: observation.gram, count: observation.width, keepsFactor: !observation.cross.isEmpty)
    return (factor, TargetMovement(observation, factor: factor))
  }

  /// The best of the method's results on held-out tokens, plain rounding included.
  private func round(_ layer: LayerRounding, movement: TargetMovement?, codec: any GridCodec) throws
    -> LayerRounding.Result
  {
    let format = codec.format
    let plain = try TensorCoding.encode(layer.weights, format: format)
    let plainError = try layer.heldOutError(of: plain, format: format)
    var best = LayerRounding.Result(
      bytes: plain, outcome: TensorOutcome(method: "rtn", heldOutError: plainError, plainError: plainError))
    func consider(_ bytes: ByteRegion, method: String, blend: Double? = nil) throws {
      let error = try layer.heldOutError(of: bytes, format: format)
      if let error, let old = best.outcome.heldOutError, error >= old { return }
      best = LayerRounding.Result(
        bytes: bytes,
        outcome: TensorOutcome(method: method, heldOutError: error, plainError: plainError, blend: blend))
    }
    let diagonal = layer.observation.diagonal
    if method == .rtn { return best }
    if method != .gptq {
      try consider(
        try TensorCoding.encode(layer.weights, format: format, importance: diagonal), method: method.rawValue)
      return best
    }
    let moved = movement?.movement(of: layer.weights) ?? []
    func rounded(_ blend: Float, sweeps: Int) throws -> ByteRegion {
      try layer.rounded(
        layer.target(blend: blend, movement: moved), codec: codec, importance: diagonal, sweeps: sweeps)
    }
    guard !moved.isEmpty, layer.observation.heldOutTokens > 0 else {
      try consider(rounded(1, sweeps: Self.sweeps), method: "gptq", blend: moved.isEmpty ? nil : 1)
      return best
    }
    for blend in Self.blends {
      try consider(rounded(blend, sweeps: 0), method: "gptq", blend: Double(blend))
    }
    // The blend that is best before coordinate descent is best behind it, too: only that one is worth the time.
    let blend = best.outcome.blend.map { Float($0) } ?? Self.blends[0]
    try consider(rounded(blend, sweeps: Self.sweeps), method: "gptq", blend: Double(blend))
    return best
  }
}
