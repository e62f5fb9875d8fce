public import ModelFiles
public import Models
public import TensorCore

/// One stage of a recipe; a value that turns a checkpoint into another.
public protocol Pass: Sendable {
  /// The key in recipes: "quantize".
  static var name: String { get }
  /// Reads the options under that key, every unknown one an error.
  init(options: inout RecipeMapping) throws(RecipeError)
  /// The options with every default written out.
  var options: JSONValue { get }
  /// A short name for folders and tables: "int4".
  var label: String { get }
  /// Decides what happens to each tensor, before anything is written.
  ///
  /// - Throws: ``PassError`` when the pass cannot be applied.
  func plan(for checkpoint: Checkpoint) throws -> PassPlan
  /// The checkpoint that the next pass plans for: formats, shapes and names as they will be, bytes that nobody looks at.
  func planned(_ plan: PassPlan, from checkpoint: Checkpoint) throws -> Checkpoint
  /// What the pass has to see of the model at work.
  var needs: ObservationNeed { get }
  /// Whether the pass trains, so that it gets a text to learn from.
  var trains: Bool { get }
  /// The transformed checkpoint. Where nothing has to be seen, tensors are made when they are read, one at a time.
  func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
}

extension Pass {
  /// The same tensors in their planned formats.
  public func planned(_ plan: PassPlan, from checkpoint: Checkpoint) throws -> Checkpoint {
    plan.reencode(checkpoint)
  }

  /// Nothing: the pass looks at weights alone.
  public var needs: ObservationNeed { .nothing }

  /// It does not.
  public var trains: Bool { false }
}

/// What a pass has to see of the model at work.
public enum ObservationNeed: Int, Sendable, Comparable {
  /// Nothing: weights alone.
  case nothing
  /// The size of each column of a layer's inputs.
  case columnNorms
  /// The inputs' Gram matrices.
  case gram

  public static func < (a: ObservationNeed, b: ObservationNeed) -> Bool { a.rawValue < b.rawValue }
}

/// What a pass may use beside the checkpoint.
public struct PassContext: Sendable {
  /// Sequences to calibrate on; nil when there are none, as for a model that cannot be run.
  public var calibration: CalibrationSet?
  /// What a pass that trains learns from; nil as above.
  public var training: CalibrationSet?
  /// The model as it was before the first pass, which others are taught by; nil where there is none.
  public var original: Checkpoint?
  /// The model as it was before it was pruned, where nothing else was done to it since: what rounding aims at.
  public var unpruned: Checkpoint?
  /// Where a training that is stopped leaves what it takes to go on.
  public var trainingState: TrainingPlace?
  /// Where a teacher's predictions are kept; nil for nowhere.
  public var teacherCache: String?
  /// Whether to finish what is being done and stop.
  public var isInterrupted: @Sendable () -> Bool = { false }
  /// The seed of everything random.
  public var seed: UInt64 = 0
  /// The bytes that activations may take in memory before they are spilled to a file; nil for no limit.
  public var memoryLimit: Int?
  /// The zstd level of the artifact.
  public var level = ArtifactFile.defaultLevel
  /// The bytes that a stage before this one was asked to keep within, for one that makes of its model another of about that size.
  public var sizeLimit: Int?
  /// The bytes of the artifact that a checkpoint becomes; for passes that aim at a size.
  public var artifactBytes: @Sendable (Checkpoint) throws -> Int = { checkpoint in
    try checkpoint.tensors.reduce(0) { $0 + (try PackedSize.of(try $1.bytes.load())) }
  }
  /// How far a checkpoint is outside of the recipe's quality budget: ln(confidence bound of the harm / limit), the worst of the
  /// limits, so at most 0 when the budget holds; nil when there is no budget.
  public var judge: (@Sendable (Checkpoint, JudgedText) throws -> Double)?
  /// Told how far a step has come, 0 … 1; an error that it throws ends the pass.
  public var progress: @Sendable (_ step: String, _ fraction: Double) throws -> Void = { _, _ in }

  /// Told what a step has come to, for people.
  public var remark: @Sendable (_ step: String, _ text: String) -> Void = { _, _ in }

  /// A context of `calibration`.
  public init(calibration: CalibrationSet? = nil) { self.calibration = calibration }
}

/// What a pass made.
public struct PassResult: Sendable {
  /// The transformed checkpoint.
  public var checkpoint: Checkpoint
  /// The plan as it was carried out: formats may differ from what was planned where they were measured.
  public var plan: PassPlan
  /// How each tensor was rounded, by canonical name; only those that a method chose for.
  public var outcomes: [String: TensorOutcome] = [:]
  /// Remarks for the report.
  public var notes: [String] = []
  /// What training came to; nil for a pass that does not train.
  public var training: TrainingReport?

  /// A result.
  public init(checkpoint: Checkpoint, plan: PassPlan) {
    self.checkpoint = checkpoint
    self.plan = plan
  }
}

/// How one tensor was rounded.
public struct TensorOutcome: Sendable, Equatable {
  /// The method whose result was kept: "gptq", "awq", "imatrix", "rtn".
  public var method: String
  /// E‖Wx − Qx′‖² / E‖Wx‖² on held-out calibration sequences, x′ being the compressed model's inputs; nil when
  /// nothing was seen.
  public var heldOutError: Double?
  /// The same of plain rounding in the same format.
  public var plainError: Double?
  /// How far the target was moved from W to the weights that suit the compressed model's inputs, 0 … 1.
  public var blend: Double?
  /// Remarks: a ridge that had to grow, dead columns …
  public var note: String?

  /// An outcome.
  public init(
    method: String, heldOutError: Double? = nil, plainError: Double? = nil, blend: Double? = nil,
    note: String? = nil
  ) {
    self.method = method
    self.heldOutError = heldOutError
    self.plainError = plainError
    self.blend = blend
    self.note = note
  }
}

/// The passes, one line each.
public enum PassList {
  /// Every pass that a recipe can name.
  public static let all: [any Pass.Type] = [
    QuantizePass.self, ShipPass.self, PrunePass.self, StructurePass.self, DistillPass.self, RecoverPass.self,
  ]

  /// The pass that one entry of `stages` names: a mapping with one key.
  static func pass(from entry: RecipeMapping) throws(RecipeError) -> any Pass {
    var entry = entry
    guard entry.keys.count == 1, let key = entry.keys.first else {
      throw entry.failure(
        "a stage has exactly one key, the pass: \(all.map { $0.name }.joined(separator: ", "))")
    }
    guard let type = all.first(where: { $0.name == key }) else {
      throw entry.failure("unknown pass '\(key)'; known are \(all.map { $0.name }.joined(separator: ", "))")
    }
    guard var options = try entry.mapping(key) else { throw entry.failure("'\(key)' has no options") }
    return try type.init(options: &options)
  }
}

/// What a pass does to each tensor, decided beforehand.
public struct PassPlan: Sendable {
  /// One tensor's treatment.
  public struct Entry: Sendable, Equatable {
    /// The canonical name.
    public var name: String
    /// The role.
    public var role: TensorRole
    /// The sizes, outermost first.
    public var shape: [Int]
    /// The format before.
    public var from: TensorFormat
    /// The format after.
    public var to: TensorFormat
    /// Why the tensor is not treated like its neighbours, or nil.
    public var note: String?
    /// Whether weights are set to zero, for good.
    public var isPruned = false
  }

  /// The tensors in the checkpoint's order.
  public var entries: [Entry]
  /// Remarks for the report.
  public var notes: [String] = []

  /// A plan of `entries`.
  public init(entries: [Entry], notes: [String] = []) {
    self.entries = entries
    self.notes = notes
  }

  /// The bytes of all tensors after the pass.
  public var bytes: Int {
    entries.reduce(0) { sum, entry in
      sum
        + (entry.to.byteCount(
          rows: entry.shape.dropLast().reduce(1, *), columns: entry.shape.last ?? 1) ?? 0)
    }
  }
}

/// Why a pass cannot be applied to a model.
public struct PassError: Error, Equatable, CustomStringConvertible {
  /// What is wrong and what to do.
  public var description: String

  /// A failure.
  public init(_ description: String) { self.description = description }
}
