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
  /// The transformed checkpoint. Tensors are made when they are read, one at a time.
  func apply(_ plan: PassPlan, to checkpoint: Checkpoint) throws -> Checkpoint
}

/// The passes, one line each.
public enum PassList {
  /// Every pass that a recipe can name.
  public static let all: [any Pass.Type] = [QuantizePass.self]

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
    entries.reduce(0) { $0 + ($1.to.byteCount(of: $1.shape.reduce(1, *)) ?? 0) }
  }
}

/// Why a pass cannot be applied to a model.
public struct PassError: Error, Equatable, CustomStringConvertible {
  /// What is wrong and what to do.
  public var description: String

  /// A failure.
  public init(_ description: String) { self.description = description }
}
