public import ArgumentParser
public import Passes

/// What is cut away before anything is rounded.
struct PruneArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Set weights of linear layers to zero: a share of them (0.5, 50%), or all but N of M neighbours (2:4).",
      valueName: "share|N:M"))
  var prune: SparsityPattern?

  @Option(
    help: "How weights are chosen: \(PrunePass.Method.allCases.map(\.rawValue).joined(separator: ", ")).")
  var pruneMethod: PrunePass.Method?

  @Option(
    help: ArgumentHelp(
      "What is pruned besides linear layers: roles such as token-embedding, or names of tensors, between commas.",
      valueName: "names"))
  var pruneAlso: String?

  /// Whether any flag asks for a stage.
  var isGiven: Bool { prune != nil }

  func validate() throws {
    if prune == nil && (pruneMethod != nil || pruneAlso != nil) {
      throw ValidationError("--prune-method and --prune-also belong to --prune.")
    }
  }

  /// The passes of the flags.
  var passes: [any Pass] {
    guard let prune else { return [] }
    let also = pruneAlso.map { $0.split(separator: ",").map { String($0.drop { $0 == " " }) } } ?? []
    return [PrunePass(prune, method: pruneMethod, also: also)]
  }
}

extension SparsityPattern: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension PrunePass.Method: ExpressibleByArgument {}
