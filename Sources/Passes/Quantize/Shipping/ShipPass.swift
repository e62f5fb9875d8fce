public import ModelFiles
public import Models
internal import TensorCore

/// Rounds all matrices to unclipped uniform codes, for the smallest artifact: zstd stores them near their entropy, so any size
/// can be had, and unpacked they are 8-bit matrices with a scale for each row and column.
///
/// Codes are chosen one after the other, each error made up for by the next (``SuccessiveRounding``), with one step for every
/// coordinate of the whole model in units of KL divergence, so bits go where predictions need them. A model that cannot be run
/// or calibrated is rounded by its weights alone.
public struct ShipPass: Pass {
  public static let name = "ship"

  /// The size of the finished artifact.
  public var goal: SizeGoal
  /// Whether tensors that are quantized already may be rounded again.
  public var allowRequantize: Bool
  /// The share of a size that is left for the training of a stage behind, whose scales take more bytes than fitted ones.
  public var reserve = 0.0

  /// What a training takes, about.
  public static let trainingReserve = 0.006

  /// A pass to an artifact of `goal`.
  public init(_ goal: SizeGoal, allowRequantize: Bool = false) {
    self.goal = goal
    self.allowRequantize = allowRequantize
  }

  public init(options: inout RecipeMapping) throws(RecipeError) {
    self.init(try SizeGoal(&options), allowRequantize: try options.boolean("allow-requantize") ?? false)
    reserve = try options.number("reserve", in: 0...0.5) ?? 0
    try options.finish(known: ["target-size", "target-bpw", "allow-requantize", "reserve"])
  }

  public var options: JSONValue {
    var object = JSONObject([("allow-requantize", .bool(allowRequantize))])
    if let option = goal.option { object[option.key] = option.value }
    if reserve > 0 { object["reserve"] = .number(reserve) }
    return .object(object)
  }

  public var label: String { "ship" }
  public var needs: ObservationNeed { .gram }

  public func plan(for checkpoint: Checkpoint) throws -> PassPlan {
    var entries: [PassPlan.Entry] = []
    for tensor in checkpoint.tensors {
      let role = checkpoint.role(of: tensor)
      let isMatrix = tensor.shape.count == 2 && tensor.format.isWeight && tensor.elementCount > 0
      let isWanted = isMatrix && (role.isLinear || role == .tokenEmbedding || role == .output)
      // Files name a matrix of codes after its module.
      let isChosen = isWanted && tensor.name.hasSuffix(".weight")
      if isChosen, tensor.format.isQuantized, !allowRequantize {
        throw PassError(
          "tensor '\(tensor.name)' is already quantized (\(tensor.format.rawValue)): rounding twice costs quality; "
            + "start from the unquantized model, or pass --allow-requantize")
      }
      entries.append(
        PassPlan.Entry(
          name: tensor.name, role: role, shape: tensor.shape, from: tensor.format,
          to: isChosen ? .uniform8 : tensor.format,
          note: isWanted && !isChosen ? "kept: its name does not end in '.weight'" : nil))
    }
    guard entries.contains(where: { $0.from != $0.to }) else {
      throw PassError("nothing to round: there is no matrix of weights")
    }
    return PassPlan(entries: entries)
  }

  public func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
  {
    let rounding = try ShippingRounding(plan: plan, checkpoint: checkpoint, context: context)
    let parameters = checkpoint.parameterCount
    if let bytes = goal.bytes(parameters: parameters) {
      return try rounding.rounded(bytes: Int(Double(bytes) * (1 - reserve)))
    }
    guard let judge = context.judge else {
      throw PassError(
        "neither a size nor a quality budget was given, so there is nothing to choose a step by")
    }
    return try RateSearch(
      range: rounding.range, parameters: parameters,
      attempt: { try rounding.rounded(bytes: $0, attempts: 2) },
      judge: judge
    ).run()
  }
}
