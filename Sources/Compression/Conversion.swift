internal import Dispatch
internal import Foundation
internal import ModelFiles
public import Models
public import Passes
internal import TensorCore
internal import WeightCodecs

/// Writes a model in another container or format, nothing evaluated.
public struct Conversion: Sendable {
  /// The container.
  public var container: OutputContainer
  /// A pass to apply first; nil to keep the formats.
  public var pass: (any Pass)?
  /// What a pass that looks at the model at work observes it on.
  public var calibration: CalibrationPlan
  /// How quantized matrices lie in safetensors; nil for what suits their formats.
  public var layout: PackedLayout?
  /// The program that the output is made for; nil for any.
  public var loader: Loader?
  /// Whether pruned matrices of a safetensors folder keep their holes, instead of being dense.
  public var keepsSparse = false
  /// The zstd level of an artifact, or nil for the plain file.
  public var packed: Int?
  /// Whether weights may be NaN or infinite.
  public var allowNonfinite: Bool
  /// Whether what is at the output already may be replaced.
  public var force: Bool

  /// A conversion.
  public init(
    container: OutputContainer, pass: (any Pass)? = nil, calibration: CalibrationPlan = CalibrationPlan(),
    packed: Int? = nil, allowNonfinite: Bool = false, force: Bool = false
  ) {
    self.container = container
    self.pass = pass
    self.calibration = calibration
    self.packed = packed
    self.allowNonfinite = allowNonfinite
    self.force = force
  }

  /// Writes `checkpoint` to `path`: one file; for plain safetensors a folder with configuration and tokenizer beside it.
  ///
  /// - Returns: the files written, with their sizes.
  public func run(_ checkpoint: Checkpoint, to path: String, observer: @escaping JobObserver = { _ in })
    throws -> [(
      path: String, bytes: Int
    )]
  {
    let makesFolder = container == .safetensors && packed == nil
    // Quantized input is refused before any text is read, damaged weights are not run.
    if let pass { try JobPlan.located(checkpoint.source.path) { _ = try pass.plan(for: checkpoint) } }
    let calibrates = !allowNonfinite && (pass.map { $0.needs > .nothing } ?? false)
    let text = calibrates && !calibration.isSelf ? calibration.text : nil
    let inputs = [checkpoint.source.path] + checkpoint.source.inputFiles + [text].compactMap { $0 }
    if makesFolder {
      try OutputPlace.check(path, against: inputs)
      try checkReplaceable(path)
    } else {
      try OutputPlace.check(file: path, inputs: inputs, force: force)
    }
    let nonfinite =
      allowNonfinite ? try checkpoint.nonfiniteTensors(observer: observer) : []
    let prepared = ContainerOutput.prepared(
      checkpoint, for: container, stages: [pass].compactMap { $0 })
    let set = calibrates ? try calibrationSet(prepared, observer) : nil
    var converted = try transformed(prepared, keeping: nonfinite, calibration: set, observer)
    if packed == nil, !keepsSparse {
      // A file that others read is dense.
      for place in converted.tensors.indices { converted.tensors[place].keptLimit = nil }
    }
    let sparse = keepsSparse ? try converted.sparseBitmaskContents() : nil
    var layout =
      try sparse.map { try SafetensorsWriter.layout(tensors: $0.tensors, metadata: $0.metadata) }
      ?? ContainerOutput.layout(of: converted, in: container, packed: self.layout)
    var seenWhilePacked: Set<String> = []
    if packed != nil, pass == nil, let same = try repeating(checkpoint.source, like: layout) {
      layout = same
      seenWhilePacked = Set(checkpoint.tensors.filter { FiniteBits($0.format) != nil }.map(\.name))
    }
    if let loader {
      let packed = container == .safetensors ? try converted.packedLayout(self.layout) : nil
      try JobPlan.located(checkpoint.source.path) {
        try LoaderRules.of(loader).check(converted, in: container, layout: packed)
      }
    }
    if packed == nil { try OutputPlace.requireSpace(layout.size, at: path) }
    if !allowNonfinite {
      let rounded = set == nil ? Conversion.rounded(from: checkpoint, to: converted) : []
      try checkpoint.refuseNonfinite(except: rounded.union(seenWhilePacked), observer: observer)
    }
    for note in layout.notes + converted.notes { observer(.note(note)) }
    do { return try write(layout, converted, of: checkpoint, to: path, observer) } catch let error
      as CodingError
    {
      // Encoders refuse what is no number, too, and nothing was left behind; but they do not know the tensor's name.
      try checkpoint.refuseNonfinite(observer: observer)
      throw error
    }
  }

  /// The layout of a GGUF file that is packed as it is: whatever else it says about itself stays, and unpacking gives the same
  /// file. Nil where the tensors of `layout` are others than the file's.
  private func repeating(_ source: ModelSource, like layout: ContainerLayout) throws -> ContainerLayout? {
    guard container == .gguf, source.container == .gguf, source.files.count == 1, let file = source.wholeFile,
      var same = try GGUFFile.layout(repeating: file, path: source.path),
      same.tensors.count == layout.tensors.count
    else { return nil }
    let made = Dictionary(
      layout.tensors.map { ($0.tensor.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    for place in same.tensors.indices {
      let tensor = same.tensors[place].tensor
      guard let other = made[tensor.name], other.format == tensor.format, other.shape == tensor.shape else {
        return nil
      }
      same.tensors[place].tensor.stream = other.stream
    }
    same.notes = layout.notes
    return same
  }

  /// The tensors that are rounded while they are written: encoders look at every weight, so a look before that would only read
  /// the model twice.
  private static func rounded(from checkpoint: Checkpoint, to converted: Checkpoint) -> Set<String> {
    let formats = Dictionary(
      converted.tensors.map { ($0.name, $0.format) }, uniquingKeysWith: { first, _ in first })
    let rounded = checkpoint.tensors.filter { tensor in
      guard let format = formats[tensor.name] else { return false }
      return format.isQuantized && format != tensor.format
    }
    return Set(rounded.map(\.name))
  }

  private func write(
    _ layout: ContainerLayout, _ converted: Checkpoint, of checkpoint: Checkpoint, to path: String,
    _ observer: @escaping JobObserver
  ) throws -> [(path: String, bytes: Int)] {
    let makesFolder = container == .safetensors && packed == nil
    if let packed { return [(path, try pack(layout, to: path, level: packed, checkpoint, observer))] }
    guard makesFolder else { return [(path, try ProgressSink.write(layout, to: path, observer: observer))] }
    return try writeFolder(layout, converted, to: path, observer)
  }

  private func calibrationSet(_ checkpoint: Checkpoint, _ observer: @escaping JobObserver) throws
    -> CalibrationSet?
  {
    if let obstacle = CalibrationSource.obstacle(checkpoint) {
      observer(.note("not calibrated: \(obstacle)"))
    }
    let set = try CalibrationSource(
      checkpoint: checkpoint, plan: calibration, subject: nil, seed: 0, observer: observer
    ).set()
    for note in set?.notes ?? [] { observer(.note(note)) }
    return set
  }

  private func transformed(
    _ checkpoint: Checkpoint, keeping names: Set<String>, calibration: CalibrationSet?,
    _ observer: @escaping JobObserver
  ) throws -> Checkpoint {
    func applied(_ pass: any Pass, to checkpoint: Checkpoint) throws -> Checkpoint {
      do {
        let plan = try pass.plan(for: checkpoint).sparing(names)
        var context = PassContext(calibration: pass.needs > .nothing ? calibration : nil)
        context.progress = { observer(.progress(step: $0, fraction: $1)) }
        let result = try pass.apply(plan, to: checkpoint, in: context)
        for note in result.notes { observer(.note(note)) }
        return result.checkpoint
      } catch let error as PassError {
        throw JobError(.badInput, "\(checkpoint.source.path): \(error.description)")
      }
    }
    let baseline = try applied(BaselinePass(), to: checkpoint)
    return try pass.map { try applied($0, to: baseline) } ?? baseline
  }

  /// An empty folder may be filled; one of an earlier conversion replaced, with `force`; any other is left alone.
  private func checkReplaceable(_ path: String) throws {
    guard let contents = try OutputPlace.contents(of: path), !contents.isEmpty else { return }
    if let foreign = contents.first(where: { $0 != "model.safetensors" && !Companions.names.contains($0) }) {
      throw JobError(
        .usage,
        "\(path): the folder holds other things than an earlier conversion ('\(foreign)'); "
          + "choose another place with -o")
    }
    guard !force else { return }
    throw JobError(.usage, "\(path): exists; choose another place with -o, or replace it with --force")
  }

  private func pack(
    _ layout: ContainerLayout, to path: String, level: Int, _ checkpoint: Checkpoint,
    _ observer: @escaping JobObserver
  ) throws -> Int {
    // A file that is packed as it is has the hash of what is packed.
    let whole = checkpoint.source.files.count == 1 ? checkpoint.source.wholeFile : nil
    let original = whole.flatMap { layout.mayRepeat($0) ? $0 : nil }
    let source = SourceHashes(of: checkpoint.source.files, beside: original == nil)
    let recipe = pass.map { JSONValue.object(JSONObject([(type(of: $0).name, $0.options)])) } ?? .null
    return try ArtifactFile.write(
      layout, to: path, level: level, recipe: recipe, source: try source.hashes(),
      original: original.map { (SourceHashes.name(of: checkpoint.source.files[0]), $0) },
      inspection: allowNonfinite || pass != nil ? nil : checkpoint.finiteInspection(observer: observer),
      toolVersion: toolVersion
    ) { done, total in
      observer(.progress(step: "pack", fraction: Double(done) / Double(max(1, total))))
    }.bytes
  }

  private func writeFolder(
    _ layout: ContainerLayout, _ checkpoint: Checkpoint, to path: String, _ observer: @escaping JobObserver
  ) throws -> [(path: String, bytes: Int)] {
    let folder = try StagedFolder(path: path)
    do {
      let written = try fill(folder.staging, layout, checkpoint, observer)
      try folder.commit()
      return written.map { ("\(path)/\($0.name)", $0.bytes) }
    } catch {
      folder.discard()
      throw folder.named(error)
    }
  }

  private func fill(
    _ folder: String, _ layout: ContainerLayout, _ checkpoint: Checkpoint, _ observer: @escaping JobObserver
  ) throws -> [(name: String, bytes: Int)] {
    var written = [
      (
        name: "model.safetensors",
        bytes: try ProgressSink.write(layout, to: folder + "/model.safetensors", observer: observer)
      )
    ]
    written +=
      try keepsSparse
      ? Companions.write(try checkpoint.sparseBitmaskContents(), into: folder)
      : Companions.write(of: checkpoint, into: folder, packed: self.layout)
    if checkpoint.source.tokenizerFiles.isEmpty, checkpoint.tokenizer != nil {
      observer(
        .note("the tokenizer lives inside the GGUF; the folder has none, take it from the original model"))
    }
    return written
  }
}

/// Hashes of the files that a model came from, made beside other work.
private final class SourceHashes: Sendable {
  private let files: [String]
  private let result = Locked<Result<[String: String], any Error>?>(nil)
  private let group = DispatchGroup()

  /// Starts hashing on another thread, where there may be one.
  ///
  /// - Parameter beside: whether to; else they are made when they are asked for, if ever.
  init(of files: [String], beside: Bool) {
    self.files = files
    guard beside, Parallel.threadCount > 1 else { return }
    DispatchQueue.global(qos: .userInitiated).async(group: group) { [files, result] in
      let made = Result { try SourceHashes.hashes(of: files) }
      result.withLock { $0 = made }
    }
  }

  /// The hashes by the files' last names, when they are done.
  func hashes() throws -> [String: String] {
    group.wait()
    return try result.withLock { $0 }?.get() ?? SourceHashes.hashes(of: files)
  }

  /// What a file is called in a manifest.
  static func name(of file: String) -> String { (file as NSString).lastPathComponent }

  private static func hashes(of files: [String]) throws -> [String: String] {
    let hashes = try FileHash.sha256(ofFiles: files)
    return Dictionary(zip(files.map(name), hashes), uniquingKeysWith: { $1 })
  }
}
