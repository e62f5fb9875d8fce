internal import ModelFiles

/// What passes that look at the model at work observe it on; read only when a stage of the recipe observes.
///
/// ```yaml
/// calibration: {text: notes.jsonl, tokens: 32768, context: 512, held-out: 0.125, allow-overlap: false}
/// ```
public struct CalibrationPlan: Sendable, Equatable {
  /// The word that stands for text which the model writes itself.
  public static let selfSource = "self"

  /// A file, a folder, or ``selfSource``; nil for the text that the program carries.
  public var text: String?
  /// The most tokens to use, held-out ones included.
  public var tokens = 32768
  /// Tokens that the model writes itself, to be learned from beside the text; none of them is held out.
  public var ownTokens = 0
  /// Tokens a sequence, BOS included; what the model can, if that is less.
  public var context = 512
  /// The share of the sequences that no observation sees, and that results are chosen on.
  public var heldOut = 0.125
  /// Whether the text may share passages with the evaluation text.
  public var allowOverlap = false

  /// The defaults.
  public init() {}

  /// Whether the model writes the text.
  public var isSelf: Bool { text == CalibrationPlan.selfSource }

  /// The defaults of what is learned from: as much of the text as there is, within reason.
  public static let training = {
    var plan = CalibrationPlan()
    plan.tokens = 1 << 22
    plan.heldOut = 0.05
    return plan
  }()

  /// Reads the section `calibration` or `training` of a recipe.
  init(_ section: inout RecipeMapping, isForTraining: Bool = false) throws(RecipeError) {
    self = isForTraining ? .training : CalibrationPlan()
    text = try section.string("text")
    tokens = try section.integer("tokens", in: 2...1_000_000_000) ?? tokens
    context = try section.integer("context", in: 8...1_048_576) ?? context
    heldOut = try section.number("held-out", in: 0...0.5) ?? heldOut
    allowOverlap = try section.boolean("allow-overlap") ?? allowOverlap
    var known = ["text", "tokens", "context", "held-out", "allow-overlap"]
    if isForTraining {
      known.append("own-tokens")
      ownTokens = try section.integer("own-tokens", in: 0...1_000_000_000) ?? 0
      if ownTokens > 0, isSelf {
        throw section.failure("'own-tokens' go beside a text; of 'self' the number is 'tokens'")
      }
    }
    try section.finish(known: known)
  }

  /// The section with every default written out.
  var json: JSONValue {
    var object = JSONObject([
      ("tokens", .integer(tokens)), ("context", .integer(context)), ("held-out", .number(heldOut)),
      ("allow-overlap", .bool(allowOverlap)),
    ])
    if let text { object["text"] = .string(text) }
    if ownTokens > 0 { object["own-tokens"] = .integer(ownTokens) }
    return .object(object)
  }
}
