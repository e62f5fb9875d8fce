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

  /// The checkpoint with every planned tensor rounded, and what became of each; nil when the model cannot be observed.
  func apply(to checkpoint: Checkpoint) throws -> PassResult? {
    let unpruned = method == .gptq && smoothing == .none ? context.unpruned : nil
    guard let calibration = context.calibration, !calibration.sequences.isEmpty,
      let sweep = CalibrationSweep(
        checkpoint, calibration: calibration, context: context, reference: unpruned)
    else { return nil }
    let formats = Dictionary(plan.entries.map { ($0.name, $0.to) }, uniquingKeysWith: { first, _ in first })
    let stored = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var replaced: [String: StoredTensor] = [:]
    var outcomes: [String: TensorOutcome] = [:]
    let scaling = ActivationAwareScaling(formats: formats, stored: stored)
    var floats: [String: StoredTensor] = [:]
    let smoothing = ActivationSmoothing(smoothing, formats: formats, stored: stored)
    var exponents: [String: Float?] = [:]
    var options = CalibrationSweep.Options()
    (options.observesOutputs, options.runsAsStored) = (true, true)
    if method == .awq || self.smoothing != .none {
      options.preparing = { step in
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
    let spill = TensorSpill()
    try sweep.run(options) { step in
      var result: [String: StoredTensor] = [:]
      var seen: RoundingStatistics?
      for layer in step.layers {
        let name = layer.name
        guard let tensor = stored[name], let format = formats[name], format != tensor.format,
          let codec = CodecList.gridCodec(for: format)
        else { continue }
        let rounded: LayerRounding.Result
        if step.observation.tokens > 0 {
          if seen == nil { try sweep.begin("factor") }
          let shared = try seen ?? RoundingStatistics(step)
          seen = shared
          try sweep.begin("round")
          rounded = try LayerRounding(layer: layer, statistics: shared, codec: codec).rounded(method)
        } else {
          rounded = LayerRounding.Result(
            bytes: try LayerRounding.encodedWhole(layer, format) { rows, _ in
              try TensorCoding.encode(rows, format: format)
            }, outcome: TensorOutcome(method: "rtn"))
        }
        var copy = tensor
        copy.format = format
        copy.bytes = TensorBytes(rounded.bytes)
        result[name] = copy
        copy.bytes = try spill.keep(rounded.bytes)
        replaced[name] = copy
        outcomes[name] = rounded.outcome
        if let exponent = exponents[name] {
          outcomes[name]?.note = exponent.map { "smoothed with exponent \($0)" } ?? "not smoothed"
        }
      }
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
    if unpruned != nil {
      result.notes.append("pruned layers are rounded towards the model before the pruning")
    }
    return result
  }
}
