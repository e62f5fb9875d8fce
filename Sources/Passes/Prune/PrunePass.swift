public import ModelFiles
public import Models
internal import TensorCore
internal import WeightCodecs

/// Sets weights of linear layers to zero, the ones that matter least; kept weights stay, or make up for those that are gone.
///
/// Embeddings, norms, the output and the routers of mixtures of experts are left alone unless they are named. Formats stay: rounding
/// is a stage of its own, and keeps the zeros.
public struct PrunePass: Pass {
  public static let name = "prune"

  /// How weights are chosen.
  public enum Method: String, Sendable, CaseIterable {
    /// The smallest, whatever they are multiplied by.
    case magnitude
    /// The smallest times the size of what they are multiplied by, in each row: Wanda (arXiv 2306.11695).
    case wanda
    /// The ones whose loss the columns behind them make up for best: SparseGPT (arXiv 2301.00774).
    case sparsegpt
    /// Wanda's choice, then the kept weights by least squares.
    case refit
    /// A choice by alternating directions (ALPS, arXiv 2406.07831), then the kept weights by least squares.
    case admm

    /// Whether kept weights are fitted to the original's outputs.
    var refits: Bool { self == .refit || self == .admm }
  }

  /// How many weights become zero.
  public var pattern: SparsityPattern
  /// How they are chosen; nil for the best that the model allows.
  public var method: Method?
  /// Where the weights of a share compete, for `magnitude`: in the whole matrix, or in each row.
  package var scope: PruneMask.Scope?
  /// How a share is spread over matrices; nil for the best that the model allows.
  package var wantedAllocation: SparsityAllocation.Rule?
  /// What is pruned besides linear layers: roles (`token-embedding`, `output` …) or names of tensors.
  public var also: [String]

  /// A pass that prunes to `pattern`.
  public init(_ pattern: SparsityPattern, method: Method? = nil, also: [String] = []) {
    self.pattern = pattern
    self.method = method
    self.also = also
  }

  public init(options: inout RecipeMapping) throws(RecipeError) {
    let share = try options.number("sparsity", in: 0...1)
    let word = try options.string("pattern")
    switch (share, word) {
    case (let share?, nil): pattern = .share(share)
    case (nil, let word?):
      guard case .groups? = SparsityPattern(word), let groups = SparsityPattern(word) else {
        throw options.failure(
          "'pattern' must be N:M such as 2:4, N of M neighbours being kept, not '\(word)'")
      }
      pattern = groups
    case (nil, nil): throw options.failure("give 'sparsity' (0.5) or 'pattern' (2:4)")
    default: throw options.failure("give 'sparsity' or 'pattern', not both")
    }
    if let name = try options.string("method") {
      guard let known = Method(rawValue: name) else {
        throw options.failure(
          "unknown method '\(name)'; known are \(Method.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      method = known
    }
    also = []
    if let name = try options.string("scope") {
      guard let known = PruneMask.Scope(rawValue: name) else {
        throw options.failure("unknown scope '\(name)'; known are tensor, row")
      }
      scope = known
    }
    if let name = try options.string("allocation") {
      guard let known = SparsityAllocation.Rule(rawValue: name) else {
        throw options.failure("unknown allocation '\(name)'; known are uniform, owl, loss")
      }
      wantedAllocation = known
    }
    if let words = try options.string("also") {
      also = words.split(separator: ",").map { String($0.drop { $0 == " " }) }
    }
    try options.finish(known: ["sparsity", "pattern", "method", "scope", "allocation", "also"])
  }

  public var options: JSONValue {
    var object = JSONObject()
    switch pattern {
    case .share(let share): object["sparsity"] = .number(share)
    case .groups: object["pattern"] = .string(pattern.word)
    }
    if let method { object["method"] = .string(method.rawValue) }
    if let scope { object["scope"] = .string(scope.rawValue) }
    if let wantedAllocation { object["allocation"] = .string(wantedAllocation.rawValue) }
    if !also.isEmpty { object["also"] = .string(also.joined(separator: ",")) }
    return .object(object)
  }

  public var label: String { "prune\(pattern.label)" }

  public func plan(for checkpoint: Checkpoint) throws -> PassPlan {
    var (entries, unused) = ([PassPlan.Entry](), Set(also))
    for tensor in checkpoint.tensors {
      let role = checkpoint.role(of: tensor)
      let named = also.filter { $0 == tensor.name || $0 == role.rawValue }
      unused.subtract(named)
      var entry = PassPlan.Entry(
        name: tensor.name, role: role, shape: tensor.shape, from: tensor.format, to: tensor.format)
      let isRouter = PrunePass.isRouter(tensor.name)
      if tensor.shape.count >= 2, role.isLinear || !named.isEmpty {
        if isRouter && named.isEmpty {
          entry.note = "a router of experts; left alone"
        } else if tensor.format.isFloat {
          entry.isPruned = pattern.sparsity > 0
        } else if tensor.format.isQuantized {
          throw PassError(
            "tensor '\(tensor.name)' is already quantized (\(tensor.format.rawValue)): prune first, then quantize"
          )
        }
      }
      entries.append(entry)
    }
    if let word = also.first(where: unused.contains) {
      throw PassError("'\(word)' in 'also' is no role and no name of a tensor of this model")
    }
    guard pattern.sparsity == 0 || entries.contains(where: \.isPruned) else {
      throw PassError("nothing to prune: the model has no linear layers in a float format")
    }
    return PassPlan(entries: entries, notes: pattern.sparsity == 0 ? ["nothing is pruned: sparsity 0"] : [])
  }

  public var needs: ObservationNeed {
    switch method {
    case .magnitude: .nothing
    case .wanda where wantedAllocation != .loss: .columnNorms
    default: pattern.sparsity == 0 ? .nothing : .gram
    }
  }

  /// How a share is spread over matrices.
  var allocation: SparsityAllocation.Rule {
    wantedAllocation ?? (method == .magnitude || method == .wanda || method == .sparsegpt ? .uniform : .loss)
  }

  public func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
  {
    let method = method ?? PrunePass.best
    if method != .magnitude, pattern.sparsity > 0 {
      if let kept = try keptWeights(plan, checkpoint) {
        var result = PassResult(checkpoint: plan.reencode(checkpoint), plan: plan)
        for place in result.checkpoint.tensors.indices {
          if let count = kept[result.checkpoint.tensors[place].name] {
            result.checkpoint.tensors[place].keptLimit = count
          }
        }
        result.notes.append("the model is as sparse already; nothing was changed")
        return result
      }
      if let calibrated = CalibratedPruning(
        self, method: method, plan: plan, checkpoint: checkpoint, context: context)
      {
        return try calibrated.pruned()
      }
    }
    var result = PassResult(checkpoint: plan.reencode(checkpoint), plan: plan)
    for (place, entry) in plan.entries.enumerated() where entry.isPruned {
      result.checkpoint.tensors[place] = prunedByMagnitude(result.checkpoint.tensors[place])
      result.outcomes[entry.name] = TensorOutcome(method: Method.magnitude.rawValue)
    }
    if method != .magnitude, pattern.sparsity > 0 {
      result.notes.append("pruned by magnitude: the model was not observed")
    }
    return result
  }

  /// What is used where no method is asked for.
  static let best = Method.admm

  /// How many weights of each tensor are not zero, where the tensors of `plan` hold all the zeros already that the pattern asks for.
  private func keptWeights(_ plan: PassPlan, _ checkpoint: Checkpoint) throws -> [String: Int]? {
    var (zeros, wanted) = (0, 0)
    var kept: [String: Int] = [:]
    for (entry, tensor) in zip(plan.entries, checkpoint.tensors) where entry.isPruned {
      let found = try PrunePass.zeros(tensor)
      kept[tensor.name] = tensor.elementCount - found.plain
      switch pattern {
      case .share(let share):
        wanted += SparsityPattern.dropped(share, of: tensor.elementCount)
        zeros += found.all
      case .groups:
        let weights = try CalibrationSweep.matrix(tensor)
        let mask = PruneMask(lowest: weights, pattern, scope: .row)
        guard mask.applied(to: weights) == weights else { return nil }
      }
    }
    return zeros >= wanted ? kept : nil
  }

  /// How many weights of a tensor are zero, and how many of these have no sign.
  private static func zeros(_ tensor: StoredTensor) throws -> (all: Int, plain: Int) {
    let bytes = try tensor.bytes.load()
    func count<Bits: FixedWidthInteger>(_: Bits.Type) -> (all: Int, plain: Int) {
      var (all, plain) = (0, 0)
      let size = Bits.bitWidth / 8
      for place in stride(from: 0, through: bytes.count - size, by: size) {
        let bits = bytes.buffer.loadUnaligned(fromByteOffset: place, as: Bits.self)
        all += bits & (Bits.max >> 1) == 0 ? 1 : 0
        plain += bits == 0 ? 1 : 0
      }
      return (all, plain)
    }
    switch tensor.format {
    case .f16, .bf16: return count(UInt16.self)
    case .f32: return count(UInt32.self)
    default:
      let weights = try CalibrationSweep.matrix(tensor).elements
      return (weights.count { $0 == 0 }, weights.count { $0.bitPattern == 0 })
    }
  }

  /// Whether a tensor chooses the experts that a token goes to, by the names that families of models have for it. A matrix of an
  /// unknown architecture is a linear layer by its shape; this one must not be taken for one.
  static func isRouter(_ name: String) -> Bool {
    let parts = name.lowercased().split(separator: ".")
    return parts.contains {
      ["gate", "router", "ffn_gate_inp", "switch", "wg", "shared_expert_gate"].contains($0)
    }
  }

  /// A tensor without its smallest weights, made when its bytes are asked for; kept weights keep their bits.
  func prunedByMagnitude(_ tensor: StoredTensor) -> StoredTensor {
    let (original, pattern, scope) = (tensor, pattern, scope ?? .tensor)
    var result = tensor
    result.keptLimit = PruneMask.kept(
      rows: tensor.rowCount, columns: tensor.rowLength, pattern, scope: scope)
    result.bytes = TensorBytes(count: tensor.bytes.count) {
      let stored = try original.bytes.load()
      let scores = try TensorCoding.decode(
        stored, format: original.format, rows: original.rowCount, columns: original.rowLength)
      let mask = PruneMask(lowest: scores, pattern, scope: scope)
      return mask.applied(to: stored, bytesPerWeight: original.format.bytesPerBlock)
    }
    return result
  }
}

extension PruneMask {
  /// Stored elements with the dropped ones' bytes zero.
  ///
  /// - Precondition: the format stores elements one by one, and zero as bytes of zero, as all floats do.
  func applied(to stored: ByteRegion, bytesPerWeight size: Int) -> ByteRegion {
    ByteRegion(count: stored.count) { target in
      target.copyMemory(from: stored.buffer)
      guard let base = target.baseAddress else { return }
      for (place, isDropped) in dropped.enumerated() where isDropped {
        (base + place * size).initializeMemory(as: UInt8.self, repeating: 0, count: size)
      }
    }
  }
}
