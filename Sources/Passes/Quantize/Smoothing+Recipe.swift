import ModelFiles

extension Smoothing {
  /// The value of a word or number: "auto", "none", "0.85"; nil for anything else.
  public init?(_ text: String) {
    switch text {
    case "auto": self = .chosen
    case "none": self = .none
    default:
      guard let value = Double(text), (0...1).contains(value) else { return nil }
      self = .exponent(value)
    }
  }

  /// The value at `smooth`, or nil.
  init?(_ options: inout RecipeMapping) throws(RecipeError) {
    guard let text = try options.string("smooth") else { return nil }
    guard let value = Smoothing(text) else {
      throw options.failure("'smooth' must be auto, none or an exponent from 0 to 1, not '\(text)'")
    }
    self = value
  }

  /// The value in a recipe.
  var option: JSONValue {
    switch self {
    case .chosen: .string("auto")
    case .none: .string("none")
    case .exponent(let value): .number(value)
    }
  }
}
