import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The few questions about paths that opening a model asks.
enum FileSystem {
  enum Kind { case file, folder }

  /// What lies at `path`, after following links.
  ///
  /// - Throws: ``ModelFileError`` when nothing does, or something that cannot be read twice, as a pipe.
  static func kind(of path: String) throws -> Kind {
    var status = stat()
    guard stat(path, &status) == 0 else { throw refusal(FileError(path: path, operation: "open")) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .folder
    default:
      throw ModelFileError(
        .system, path: path, "is neither a file nor a folder", advice: "models are read from regular files")
    }
  }

  /// Whether a regular file lies at `path`.
  static func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  /// Maps a file that a user or a model's index named.
  static func map(_ path: String) throws -> MappedFile {
    do { return try MappedFile(path: path) } catch { throw refusal(error) }
  }

  /// Maps the file `name` of `folder` if it is there.
  ///
  /// - Throws: ``ModelFileError`` when it is there and unreadable, or longer than `limit`.
  static func mapIfPresent(_ name: String, in folder: String, limit: Int) throws -> MappedFile? {
    let path = join(folder, name)
    guard isFile(path) else { return nil }
    let file = try map(path)
    guard file.region.count <= limit else {
      throw ModelFileError(
        .badStructure, path: path, "has \(file.region.count) bytes; a file of this name may have \(limit)")
    }
    return file
  }

  /// The names of the visible regular files in `folder`, sorted by their bytes.
  static func files(in folder: String) throws -> [String] {
    guard let directory = opendir(folder) else { throw refusal(FileError(path: folder, operation: "open")) }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      // The entry is as long as its name, not as long as its type says: copying the field would read behind it.
      let text = UnsafeRawPointer(entry) + (MemoryLayout<dirent>.offset(of: \.d_name) ?? 0)
      let name = String(validatingCString: text.assumingMemoryBound(to: CChar.self))
      guard let name, !name.hasPrefix("."), isFile(join(folder, name)) else { continue }
      names.append(name)
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// The folder that `path` lies in, by its name: links are not followed, since model caches keep links to blobs of
  /// meaningless names.
  static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The last part of `path`.
  static func name(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
    return String(path[path.utf8.index(after: slash)...])
  }

  /// `name` inside `folder`; a file named without a folder stays as it is.
  static func join(_ folder: String, _ name: String) -> String {
    folder == "." ? name : folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  /// `path` as a folder is named: without slashes at its end.
  static func withoutTrailingSlashes(_ path: String) -> String {
    var path = path
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }

  /// A system's refusal as the error that callers expect.
  static func refusal(_ error: FileError) -> ModelFileError {
    let advice =
      switch error.code {
      case ENOENT, ENOTDIR: "check the path"
      case EACCES, EPERM: "check the file's permissions"
      default: nil as String?
      }
    return ModelFileError(
      .system, path: error.path, "cannot \(error.operation): \(error.reason)", advice: advice)
  }
}
