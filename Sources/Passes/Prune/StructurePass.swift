public import ModelFiles
public import Models
internal import TensorCore

/// Makes a model smaller: heads, feed-forward neurons, blocks and hidden channels are cut, what is coupled together, and what reads
/// them is repaired in closed form. The result is an ordinary checkpoint of smaller sizes.
public struct StructurePass: Pass {
  public static let name = "prune-structure"

  /// What is cut; ``targetParameters`` takes its place where it is set.
  public var shares: StructureShares
  /// The share of the model's weights that is left at most, 0 … 1; heads and neurons are cut for it.
  public var targetParameters: Double?
  /// Whether what reads cut units makes up for them.
  public var repairs = true
  /// Exactly what stays, in place of shares; nothing a recipe could say.
  package var exactSizes: StructureSizes?
  /// How heads and neurons are judged.
  package var importance = UnitElimination.Importance.loss

  /// A pass that cuts `shares`.
  public init(_ shares: StructureShares) { self.shares = shares }

  /// A pass that leaves at most this share of the weights.
  public init(targetParameters: Double) {
    shares = StructureShares()
    self.targetParameters = targetParameters
  }

  public init(options: inout RecipeMapping) throws(RecipeError) {
    shares = StructureShares()
    func share(_ key: String) throws(RecipeError) -> Double? {
      let value = try options.number(key, in: 0...1)
      guard value != 1 else { throw options.failure("'\(key)' is a share below 1: something has to be left") }
      return value
    }
    shares.heads = try share("heads") ?? 0
    shares.neurons = try share("ffn") ?? 0
    shares.width = try share("width") ?? 0
    shares.layers = try options.integer("layers", in: 0...4095) ?? 0
    targetParameters = try share("target-params")
    guard shares.isEmpty != (targetParameters == nil) else {
      throw options.failure("give some of 'heads', 'ffn', 'layers' and 'width', or 'target-params' alone")
    }
    repairs = try options.boolean("repair") ?? true
    if let name = try options.string("importance") {
      guard let known = UnitElimination.Importance(rawValue: name) else {
        throw options.failure("unknown importance '\(name)'; known are activation, loss")
      }
      importance = known
    }
    try options.finish(known: ["heads", "ffn", "layers", "width", "target-params", "repair", "importance"])
  }

  public var options: JSONValue {
    var object = JSONObject([("repair", .bool(repairs)), ("importance", .string(importance.rawValue))])
    if let targetParameters {
      object["target-params"] = .number(targetParameters)
      return .object(object)
    }
    if shares.heads > 0 { object["heads"] = .number(shares.heads) }
    if shares.neurons > 0 { object["ffn"] = .number(shares.neurons) }
    if shares.layers > 0 { object["layers"] = .integer(shares.layers) }
    if shares.width > 0 { object["width"] = .number(shares.width) }
    return .object(object)
  }

  public var label: String {
    func percent(_ share: Double) -> String { SparsityPattern.share(share).label }
    if let targetParameters { return "params\(percent(targetParameters))" }
    return [
      shares.heads > 0 ? "heads\(percent(shares.heads))" : nil,
      shares.neurons > 0 ? "ffn\(percent(shares.neurons))" : nil,
      shares.layers > 0 ? "layers\(shares.layers)" : nil,
      shares.width > 0 ? "width\(percent(shares.width))" : nil,
    ].compactMap { $0 }.joined(separator: "-")
  }

  public var needs: ObservationNeed { .gram }

  /// What stays of a model.
  private func sizes(_ checkpoint: Checkpoint) throws -> (StructureSizes, any ResizableArchitecture) {
    guard let architecture = checkpoint.architecture as? any ResizableArchitecture else {
      throw PassError(
        "models of an unknown architecture cannot be made smaller: nothing says what belongs together")
    }
    if let exactSizes { return (exactSizes, architecture) }
    let wanted =
      try targetParameters.map { try StructureSizes.shares(leaving: $0, of: checkpoint, architecture) }
      ?? shares
    return (try StructureSizes(wanted, of: architecture), architecture)
  }

  public func planned(_ plan: PassPlan, from checkpoint: Checkpoint) throws -> Checkpoint {
    let (sizes, architecture) = try sizes(checkpoint)
    return try shapes(of: checkpoint, sizes, architecture)
  }

  /// The smaller model's shapes, before it is known which units stay.
  private func shapes(
    of checkpoint: Checkpoint, _ sizes: StructureSizes, _ architecture: any ResizableArchitecture
  ) throws -> Checkpoint {
    do { return try checkpoint.cutting(sizes.leadingCut(of: architecture)) } catch let error as ModelError {
      throw PassError(error.message)
    }
  }

  public func plan(for checkpoint: Checkpoint) throws -> PassPlan {
    let (sizes, architecture) = try sizes(checkpoint)
    guard !sizes.kept.isEmpty || sizes.blocks < architecture.blockCount else {
      throw PassError("nothing to cut: what was asked for is less than one unit")
    }
    let smaller = try shapes(of: checkpoint, sizes, architecture)
    let entries = smaller.tensors.map { tensor in
      PassPlan.Entry(
        name: tensor.name, role: smaller.role(of: tensor), shape: tensor.shape, from: tensor.format,
        to: tensor.format)
    }
    var notes = StructureKind.allCases.compactMap { kind in
      sizes.kept[kind].map {
        "\(kind.rawValue): \($0) of \(architecture.unitCount(kind) ?? 0) kept"
          + (kind == .width ? "" : " in each block")
      }
    }
    if sizes.blocks < architecture.blockCount {
      notes.append("layers: \(sizes.blocks) of \(architecture.blockCount) kept")
    }
    notes.append("\(smaller.parameterCount) of \(checkpoint.parameterCount) weights left")
    return PassPlan(entries: entries, notes: notes)
  }

  public func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
  {
    let (sizes, architecture) = try sizes(checkpoint)
    let cutting = StructureCutting(
      checkpoint: checkpoint, architecture: architecture, sizes: sizes, importance: importance,
      repairs: repairs,
      context: context)
    var result = try cutting.cut()
    result.plan = plan
    return result
  }
}
