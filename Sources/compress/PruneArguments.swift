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

  @Option(
    help: ArgumentHelp(
      "Make the model smaller, and repair what is left: heads=0.25,ffn=0.3,layers=2,width=0.125.",
      valueName: "shares"))
  var pruneStructure: StructureShares?

  @Option(
    help: ArgumentHelp(
      "Cut heads and feed-forward neurons until this share of the weights is left: 0.7.", valueName: "share"))
  var targetParams: Double?

  /// Whether any flag asks for a stage.
  var isGiven: Bool { prune != nil || pruneStructure != nil || targetParams != nil }

  func validate() throws {
    if pruneStructure != nil && targetParams != nil {
      throw ValidationError("Choose --prune-structure or --target-params.")
    }
    if pruneStructure?.isEmpty ?? false {
      throw ValidationError("--prune-structure must cut something: heads, ffn, layers or width.")
    }
    if let targetParams, !(targetParams > 0 && targetParams < 1) {
      throw ValidationError("--target-params must be a share between 0 and 1.")
    }
    if prune == nil && (pruneMethod != nil || pruneAlso != nil) {
      throw ValidationError("--prune-method and --prune-also belong to --prune.")
    }
  }

  /// The passes of the flags.
  var passes: [any Pass] {
    var result: [any Pass] = []
    if let pruneStructure { result.append(StructurePass(pruneStructure)) }
    if let targetParams { result.append(StructurePass(targetParameters: targetParams)) }
    guard let prune else { return result }
    let also = pruneAlso.map { $0.split(separator: ",").map { String($0.drop { $0 == " " }) } } ?? []
    return result + [PrunePass(prune, method: pruneMethod, also: also)]
  }
}

extension SparsityPattern: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension StructureShares: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension PrunePass.Method: ExpressibleByArgument {}
