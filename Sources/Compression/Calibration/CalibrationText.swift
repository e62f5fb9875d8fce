internal import CDefaultText
internal import Evaluation
import Foundation
internal import ModelFiles
internal import TensorCore

/// A calibration text as it was read: documents for a language model, sentences for an encoder.
struct CalibrationText: Sendable {
  /// The name of the text that the program carries.
  static let defaultName = "calibration.txt (shipped)"
  /// The most bytes that are read.
  static let byteLimit = 1 << 30
  /// The files of a folder that are read.
  static let endings = ["txt", "jsonl"]
  /// The files of a folder that are read for encoders, too.
  static let tableEndings = ["csv", "tsv"]

  /// The file's or folder's name, for reports.
  var name: String
  /// SHA-256 of the file; of a line `name hash` for each file of a folder.
  var sha256: String
  /// The documents or sentences, none empty.
  var documents: [[UInt8]]
  /// Remarks for the report.
  var notes: [String] = []

  /// The file or folder at `path`, or the text that the program carries.
  ///
  /// - Throws: ``FileError`` when it cannot be read; ``EvaluationError`` when there is no text in it.
  init(path: String?, forEncoder: Bool) throws {
    guard let path else {
      let bytes = Array(
        UnsafeBufferPointer(start: cdt_calibration_text(), count: cdt_calibration_text_size()))
      try self.init(name: CalibrationText.defaultName, bytes: bytes, forEncoder: forEncoder)
      return
    }
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      try self.init(folder: path, forEncoder: forEncoder)
    } else {
      try self.init(file: path, forEncoder: forEncoder)
    }
  }

  private init(file path: String, forEncoder: Bool, allowsBlank: Bool = false) throws {
    let file = try MappedFile(path: path)
    guard file.region.count <= CalibrationText.byteLimit else {
      throw CalibrationText.tooLong(path, file.region.count)
    }
    do {
      try self.init(
        name: (path as NSString).lastPathComponent, bytes: file.region.array, forEncoder: forEncoder,
        allowsBlank: allowsBlank)
    } catch var error as EvaluationError {
      error.place = path
      throw error
    }
  }

  /// Every text of a folder, in the order of their names.
  private init(folder path: String, forEncoder: Bool) throws {
    let endings = CalibrationText.endings + (forEncoder ? CalibrationText.tableEndings : [])
    let entries = try CalibrationText.entries(of: path)
    let names = entries.filter { endings.contains(($0 as NSString).pathExtension.lowercased()) }
    guard !names.isEmpty else {
      throw EvaluationError(
        .tooShort, path,
        "the folder has no text: \(endings.map { "." + $0 }.joined(separator: ", ")) are read"
      )
    }
    self.init(name: (path as NSString).lastPathComponent + "/", sha256: "", documents: [])
    var (lines, total, empty) = ("", 0, 0)
    for name in names {
      let place = path + "/" + name
      let file = try MappedFile(path: place)
      total += file.region.count
      guard total <= CalibrationText.byteLimit else { throw CalibrationText.tooLong(path, total) }
      lines += "\(FileHash.sha256(of: file.region))  \(name)\n"
      guard file.region.count > 0 else {
        empty += 1
        continue
      }
      documents += try CalibrationText(file: place, forEncoder: forEncoder, allowsBlank: true).documents
    }
    sha256 = Array(lines.utf8).withUnsafeBytes { FileHash.sha256(of: $0) }
    if empty > 0 { notes.append("\(empty) of the calibration folder's \(names.count) files are empty") }
    guard documents.contains(where: { !CalibrationText.isBlank($0) }) else {
      throw EvaluationError(.tooShort, path, "the folder's texts are empty")
    }
  }

  private static func entries(of path: String) throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }
        .sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    } catch { throw FileError(path: path, operation: "list", code: EACCES) }
  }

  /// The text `bytes`: what an evaluation would read as documents, or as sentences.
  ///
  /// - Parameter allowsBlank: whether it may be white space alone, as one of several.
  init(name: String, bytes: [UInt8], forEncoder: Bool, allowsBlank: Bool = false) throws {
    let text = try EvaluationText(name: name, bytes: bytes)
    var documents = text.documents
    if forEncoder {
      documents =
        text.isDocuments
        ? documents.flatMap { EncoderText.sentences(of: $0) }
        : try EncoderText(name: name, bytes: bytes).sentences
    }
    self.init(name: name, sha256: text.sha256, documents: documents.filter { !$0.isEmpty })
    guard
      allowsBlank && !self.documents.isEmpty
        || self.documents.contains(where: { !CalibrationText.isBlank($0) })
    else { throw EvaluationError(.tooShort, name, "there is no text in it") }
  }

  /// Whether a text is white space alone.
  private static func isBlank(_ text: [UInt8]) -> Bool {
    text.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
  }

  private init(name: String, sha256: String, documents: [[UInt8]]) {
    self.name = name
    self.sha256 = sha256
    self.documents = documents
  }

  private static func tooLong(_ path: String, _ bytes: Int) -> EvaluationError {
    EvaluationError(
      .badText, path,
      "\(bytes) bytes of calibration text are more than the \(byteLimit) that are read; give a part of it")
  }
}
