public import ModelFiles
public import Models
public import TensorCore
internal import WeightCodecs

/// Rounds weights to a block format: with calibration where the model can be observed, else every row by its codec's scale search.
///
/// `int8` is Q8_0. `int4` is Q4_K, or IQ4_NL where rows do not divide by 256 (the same 4.5 bits a weight), with token
/// embedding and output in Q6_K (or Q8_0); where the model can be calibrated and no method is asked for, a mixture of
/// formats of about that size takes their place. `w8a8` is a scale a row with activations in 8 bits, outliers of activations
/// moved into the weights first (``Smoothing``). Vectors stay f32; position and type embeddings, a thousandth of a model,
/// keep their format.
public struct QuantizePass: Pass {
  public static let name = "quantize"

  /// What the user asks for: a width, or one format for all matrices.
  public enum Target: Sendable, Equatable {
    case int8, int4
    case format(TensorFormat)
    /// Each group of layers gets the block format that keeps the model best at a size.
    case mixed(SizeGoal)

    /// The name in recipes.
    public var name: String {
      switch self {
      case .int8: "int8"
      case .int4: "int4"
      case .format(let format): format.rawValue
      case .mixed: "mixed"
      }
    }

    /// Whether weights go into blocks of fewer than 8 bits, which a row must fill. At 8 bits half precision where rows do not divide
    /// is the smaller loss.
    public var isNarrow: Bool {
      switch self {
      case .int8: false
      case .int4, .mixed: true
      case .format(let format): format.blockSize > 1 && format.bitsPerWeight < 8
      }
    }

    /// The formats that a recipe can name.
    static let formats: [TensorFormat] = [
      .q8_0, .q6_k, .q5_k, .q5_1, .q5_0, .q4_k, .iq4_nl, .q4_1, .q4_0,
      .int4_g128, .int4_g64, .int4_g32, .int8_channel, .w8a8, .f16, .bf16, .f32,
    ]

    /// The target that safetensors has for a width.
    public var inSafetensors: Target {
      switch self {
      case .int8: .format(.int8_channel)
      case .int4: .format(.int4_g128)
      case .format, .mixed: self
      }
    }

    /// The target of a recipe's word, or nil.
    public init?(name: String) {
      switch name {
      case "int8": self = .int8
      case "int4": self = .int4
      default:
        guard let format = TensorFormat(rawValue: name), Target.formats.contains(format) else { return nil }
        self = .format(format)
      }
    }
  }

  /// How codes are chosen.
  public enum Method: String, Sendable, CaseIterable {
    /// Each weight to the nearest, scales by the weights alone.
    case rtn
    /// Each weight to the nearest, scales weighed by the inputs' mean squares.
    case imatrix
    /// Errors of a weight are made up for by the weights that are rounded after it.
    case gptq
    /// Columns are scaled up before rounding where inputs are large.
    case awq
  }

  /// The matrices' target.
  public var target: Target
  /// How codes are chosen; nil for `gptq` where the model can be calibrated, else `rtn`.
  public var method: Method?
  /// The format of token embedding and output; nil for the target's usual one.
  public var embeddings: TensorFormat?
  /// What is done about outliers of activations; only for `w8a8`.
  public var smoothing = Smoothing.chosen
  /// How much work rounding is worth.
  public var effort = RoundingEffort.usual
  /// Whether tensors that are quantized already may be quantized again.
  public var allowRequantize: Bool

  /// A pass to `target`.
  public init(
    _ target: Target, method: Method? = nil, embeddings: TensorFormat? = nil, allowRequantize: Bool = false
  ) {
    self.target = target
    self.method = method
    self.embeddings = embeddings
    self.allowRequantize = allowRequantize
  }

  public init(options: inout RecipeMapping) throws(RecipeError) {
    let known = ["int8", "int4", "mixed"] + Target.formats.map(\.rawValue)
    let name = try options.string("format") ?? "int4"
    guard let target = name == "mixed" ? .mixed(try SizeGoal(&options)) : Target(name: name) else {
      throw options.failure("unknown format '\(name)'; known are \(known.joined(separator: ", "))")
    }
    var method: Method?
    if let name = try options.string("method") {
      guard let known = Method(rawValue: name) else {
        throw options.failure(
          "unknown method '\(name)'; known are \(Method.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      method = known
    }
    var embeddings: TensorFormat?
    if let name = try options.string("embeddings") {
      guard case .format(let format)? = Target(name: name) else {
        throw options.failure(
          "unknown format '\(name)' for embeddings; known are \(known.dropFirst(3).joined(separator: ", "))")
      }
      embeddings = format
    }
    self.init(
      target, method: method, embeddings: embeddings,
      allowRequantize: try options.boolean("allow-requantize") ?? false)
    effort = try RoundingEffort(&options)
    if target == .format(.w8a8) { smoothing = try Smoothing(&options) ?? .chosen }
    try options.finish(
      known: ["format", "method", "embeddings", "allow-requantize", "target-size", "target-bpw", "effort"]
        + (target == .format(.w8a8) ? ["smooth"] : []))
  }

  public var options: JSONValue {
    var object = JSONObject([("format", .string(target.name)), ("allow-requantize", .bool(allowRequantize))])
    if target == .format(.w8a8) { object["smooth"] = smoothing.option }
    if effort != .usual { object["effort"] = .string(effort.rawValue) }
    if let method { object["method"] = .string(method.rawValue) }
    if let embeddings { object["embeddings"] = .string(embeddings.rawValue) }
    if case .mixed(let goal) = target, let option = goal.option { object[option.key] = option.value }
    return .object(object)
  }

  public var label: String { target.name }

  public func plan(for checkpoint: Checkpoint) throws -> PassPlan {
    try effort.check(checkpoint)
    if target == .format(.w8a8), method == .awq {
      throw PassError(
        "w8a8 scales columns for activations and weights together: use the method gptq, imatrix or rtn")
    }
    var entries: [PassPlan.Entry] = []
    for tensor in checkpoint.tensors {
      let role = checkpoint.role(of: tensor)
      let (format, note) = treatment(of: tensor, role: role)
      if tensor.format.isQuantized, format != tensor.format, !allowRequantize {
        throw PassError(
          "tensor '\(tensor.name)' is already quantized (\(tensor.format.rawValue)): rounding twice costs quality; "
            + "start from the unquantized model, or pass --allow-requantize")
      }
      entries.append(
        PassPlan.Entry(
          name: tensor.name, role: role, shape: tensor.shape, from: tensor.format, to: format, note: note))
    }
    guard entries.contains(where: { $0.from != $0.to }) else {
      throw PassError("nothing to quantize: no matrix would change its format")
    }
    return PassPlan(entries: entries, notes: summary(of: entries))
  }

  public func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
  {
    let result = try rounded(plan, checkpoint, in: context)
    var limit: Int?
    if case .mixed(let goal) = target { limit = goal.bytes(parameters: checkpoint.parameterCount) }
    return try effort.applied(to: result, of: checkpoint, in: context, limit: limit)
  }

  private func rounded(_ plan: PassPlan, _ checkpoint: Checkpoint, in context: PassContext) throws
    -> PassResult
  {
    if case .mixed(let goal) = target {
      guard let calibration = context.calibration else {
        throw PassError(
          "formats are chosen by measuring the model, which cannot be run; use --int4 or --int8")
      }
      return try MixedQuantization(
        plan: plan, checkpoint: checkpoint, calibration: calibration, context: context
      ).quantized(goal)
    }
    if target == .int4, method == nil, let result = try balanced(plan, checkpoint, in: context) {
      return result
    }
    let method = method ?? .gptq
    let smoothing = target == .format(.w8a8) ? smoothing : .none
    if method != .rtn || smoothing != .none,
      let result = try CalibratedQuantization(
        plan: plan, method: method, smoothing: smoothing, context: context
      ).apply(to: checkpoint)
    {
      return result
    }
    return PassResult(checkpoint: plan.reencode(checkpoint), plan: plan)
  }

  /// int4 at its best: the bytes of `standard`, spent where predictions need them. Nil where that cannot be measured.
  private func balanced(_ plan: PassPlan, _ checkpoint: Checkpoint, in context: PassContext) throws
    -> PassResult?
  {
    guard let calibration = context.calibration, !calibration.sequences.isEmpty,
      checkpoint.architecture?.blockwise is any GradientModel
    else { return nil }
    let mixed = try MixedQuantization(
      plan: plan, checkpoint: checkpoint, calibration: calibration, context: context)
    guard mixed.losses.isMeasured else { return nil }
    let standard = standard(plan, checkpoint)
    let bytes = try context.artifactBytes(standard.plan.reencode(checkpoint)) - standard.padding
    return try mixed.quantized(bytes: bytes)
  }

  /// What a 4-bit GGUF file usually holds: Q4_K in all layers; Q5_0 where rows divide by 32 alone, F16 where they don't divide at
  /// all, as llama.cpp has it. Models of odd widths are small or delicate: rounding all of it to 4 bits costs more than it saves.
  ///
  /// - Returns: the plan, and its bytes for neurons of zeros, which that file would not have.
  private func standard(_ plan: PassPlan, _ checkpoint: Checkpoint) -> (plan: PassPlan, padding: Int) {
    var (result, padding) = (plan, 0)
    let narrow = checkpoint.feedForwardWidthBeforePadding
    for (place, entry) in plan.entries.enumerated() where entry.role.isLinear && entry.to == .iq4_nl {
      let isBroken = entry.role == .down && narrow.map { $0 % 32 != 0 } ?? false
      let format: TensorFormat = isBroken ? .f16 : .q5_0
      result.entries[place].to = format
      guard let narrow, [.gate, .up, .down].contains(entry.role) else { continue }
      let (rows, columns) = (entry.shape.dropLast().reduce(1, *), entry.shape.last ?? 1)
      let wider = entry.role == .down ? columns : rows
      let bytes = format.byteCount(rows: rows, columns: columns) ?? 0
      padding += bytes / max(wider, 1) * (wider - narrow)
    }
    return (result, padding)
  }

  public var needs: ObservationNeed {
    if case .mixed = target { return .gram }
    if effort == .max { return .gram }
    return switch method ?? .gptq {
    case .rtn where target == .format(.w8a8) && smoothing != .none: .columnNorms
    case .rtn: .nothing
    case .imatrix, .awq: .columnNorms
    case .gptq: .gram
    }
  }

  /// The format that a tensor gets, and why it is not the one asked for.
  private func treatment(of tensor: StoredTensor, role: TensorRole) -> (TensorFormat, String?) {
    guard tensor.shape.count >= 2, tensor.format.isWeight, let wanted = wanted(for: role) else {
      return (tensor.format, nil)
    }
    let choice = FormatPlan.fallback(for: wanted, rowLength: tensor.rowLength)
    guard tensor.isSparse, !choice.format.holdsZero else { return (choice.format, choice.reason) }
    let holding = FormatPlan.fallback(
      for: FormatPlan.holdingZeros(choice.format), rowLength: tensor.rowLength
    ).format
    if case .format = target {
      return (
        choice.format,
        "\(choice.format.rawValue) cannot hold zeros: pruned weights come back small; \(holding.rawValue) keeps them"
      )
    }
    return (holding, "pruned: \(choice.format.rawValue) cannot hold zeros, \(holding.rawValue) can")
  }

  private func wanted(for role: TensorRole) -> TensorFormat? {
    switch role {
    case .tokenEmbedding, .output:
      if let embeddings { return embeddings }
      return switch target {
      case .int8: .q8_0
      case .int4: .q6_k
      // Loaders of these formats quantize linear layers only.
      case .format(.int4_g128), .format(.int4_g64), .format(.int4_g32), .format(.int8_channel),
        .format(.w8a8):
        nil
      case .format(let format): format
      case .mixed: .q6_k
      }
    case _ where role.isLinear:
      return switch target {
      case .int8: .q8_0
      case .int4, .mixed: .q4_k
      case .format(let format): format
      }
    default: return nil
    }
  }

  private func summary(of entries: [PassPlan.Entry]) -> [String] {
    var counts: [String: Int] = [:]
    for entry in entries { if let note = entry.note { counts[note, default: 0] += 1 } }
    return counts.sorted { $0.key < $1.key }.map {
      "\($0.value) tensor\($0.value == 1 ? "" : "s"): \($0.key)"
    }
  }
}
