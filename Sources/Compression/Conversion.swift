internal import Foundation
internal import ModelFiles
public import Models
public import Passes
internal import TensorCore

/// Writes a model in another container or format, nothing evaluated.
public struct Conversion: Sendable {
  /// The container.
  public var container: OutputContainer
  /// A pass to apply first; nil to keep the formats.
  public var pass: (any Pass)?
  /// The zstd level of an artifact, or nil for the plain file.
  public var packed: Int?

  /// A conversion.
  public init(container: OutputContainer, pass: (any Pass)? = nil, packed: Int? = nil) {
    self.container = container
    self.pass = pass
    self.packed = packed
  }

  /// Writes `checkpoint` to `path`: one file; for plain safetensors a folder with configuration and tokenizer beside it.
  ///
  /// - Returns: the files written, with their sizes.
  public func run(_ checkpoint: Checkpoint, to path: String, observer: @escaping JobObserver = { _ in })
    throws -> [(
      path: String, bytes: Int
    )]
  {
    let baseline = BaselinePass()
    var converted = try baseline.apply(try baseline.plan(for: checkpoint), to: checkpoint)
    if let pass { converted = try pass.apply(try pass.plan(for: converted), to: converted) }
    let layout = try ContainerOutput.layout(of: converted, in: container)
    for note in layout.notes + converted.notes { observer(.note(note)) }
    if let packed { return [(path, try pack(layout, to: path, level: packed, checkpoint, observer))] }
    guard container == .safetensors else { return [(path, try write(layout, to: path, observer))] }
    return try writeFolder(layout, converted, to: path, observer)
  }

  private func pack(
    _ layout: ContainerLayout, to path: String, level: Int, _ checkpoint: Checkpoint,
    _ observer: @escaping JobObserver
  ) throws -> Int {
    var source: [String: String] = [:]
    for file in checkpoint.source.files {
      source[(file as NSString).lastPathComponent] = try FileHash.sha256(ofFile: file)
    }
    let recipe = pass.map { JSONValue.object(JSONObject([(type(of: $0).name, $0.options)])) } ?? .null
    return try ArtifactFile.write(
      layout, to: path, level: level, recipe: recipe, source: source, toolVersion: toolVersion
    ) { done, total in
      observer(.progress(step: "pack", fraction: Double(done) / Double(max(1, total))))
    }.bytes
  }

  private func write(_ layout: ContainerLayout, to path: String, _ observer: @escaping JobObserver) throws
    -> Int
  {
    var sink = ProgressSink(file: try AtomicFile(path: path), total: layout.size, observer: observer)
    try layout.write(to: &sink)
    try sink.file.commit()
    return layout.size
  }

  private func writeFolder(
    _ layout: ContainerLayout, _ checkpoint: Checkpoint, to path: String, _ observer: @escaping JobObserver
  ) throws -> [(path: String, bytes: Int)] {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw JobError(.inputOutput, "\(path): cannot make the folder")
    }
    let weights = path + "/model.safetensors"
    var written = [(path: weights, bytes: try write(layout, to: weights, observer))]
    let configuration = checkpoint.configuration.text(sortedKeys: false, indent: 2) + "\n"
    try AtomicFile.write(configuration, to: path + "/config.json")
    written.append((path + "/config.json", configuration.utf8.count))
    for file in checkpoint.source.tokenizerFiles where file.kind != .pooling && file.kind != .llama2c {
      let target = path + "/" + file.kind.rawValue
      try AtomicFile.write(file.contents.array, to: target)
      written.append((target, file.contents.count))
    }
    if checkpoint.source.tokenizerFiles.isEmpty, checkpoint.tokenizer != nil {
      observer(
        .note("the tokenizer lives inside the GGUF; the folder has none, take it from the original model"))
    }
    return written
  }
}

/// Counts what goes into a file.
private struct ProgressSink: ByteSink {
  let file: AtomicFile
  let total: Int
  let observer: JobObserver
  var done = 0

  init(file: AtomicFile, total: Int, observer: @escaping JobObserver) {
    self.file = file
    self.total = total
    self.observer = observer
  }

  mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
    try file.write(bytes)
    done += bytes.count
    observer(.progress(step: "write", fraction: Double(done) / Double(max(1, total))))
  }
}
